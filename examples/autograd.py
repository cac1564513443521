"""Gradients of any order: Newton's method, with the second derivatives computed by autograd.

Finds the minimum of Rosenbrock's valley, f(x, y) = (1 - x)^2 + 100 (y - x^2)^2, which lies at
(1, 1). Gradient descent needs thousands of steps there; Newton's method needs a handful.

python examples/autograd.py
"""

import fastdl as torch


def rosenbrock(p):
    x, y = p[0], p[1]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


point = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
for step in range(1, 20):
    value = rosenbrock(point)
    # create_graph=True: the gradient is itself part of a graph, and can be differentiated again.
    (gradient,) = torch.autograd.grad(value, point, create_graph=True)
    rows = [torch.autograd.grad(g, point, retain_graph=True)[0] for g in gradient]
    (a, b), (c, d) = (row.tolist() for row in rows)  # the Hessian
    u, v = gradient.tolist()
    det = a * d - b * c
    with torch.no_grad():
        point -= torch.tensor([(d * u - b * v) / det, (a * v - c * u) / det], dtype=torch.float64)
    x, y = point.tolist()
    print(f"step {step}: ({x:+.9f}, {y:+.9f}), f was {value.item():.3e}")
    if max(abs(u), abs(v)) < 1e-10:
        break
