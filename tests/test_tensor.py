"""Tensors as PyTorch's: the same expression in both gives the same repr, or the same type of error.

`t` is fastdl or torch, `a` a small matrix of floats, `b` = arange(24) as (2, 3, 4), `x` a leaf that
requires grad.
"""

import copy
import itertools
import math
import pickle
import re
import warnings

import numpy as np
import pytest

import fastdl

torch = pytest.importorskip("torch")

CREATION = """
t.tensor(1)
t.tensor(1.5)
t.tensor(True)
t.tensor([])
t.tensor([[]])
t.tensor([[1, 2], [3]])
t.tensor([1, 2.5])
t.tensor([True, 2])
t.tensor(np.float64(2))
t.tensor(np.ones(2))
t.tensor([np.float32(1)])
t.tensor([np.float64(1.)])
t.tensor('a')
t.tensor(None)
t.tensor([t.tensor(1), t.tensor(2)])
t.tensor([t.tensor(1.), 2])
t.tensor(range(3))
t.tensor((1, 2))
t.tensor([1, 2], dtype=t.float32)
t.tensor([1.7, 2], dtype=t.int64)
t.tensor([1, 2], dtype=float)
t.tensor([1.], requires_grad=True)
t.tensor([1], requires_grad=True)
t.as_tensor([1, 2])
t.from_numpy([1])
t.zeros(2, 3)
t.zeros((2, 3))
t.zeros([2, 3])
t.zeros(())
t.zeros(2, dtype=t.int32)
t.zeros(-1)
t.zeros('a')
t.zeros(2.5)
t.ones(2, 3, dtype=t.bool)
t.full((2,), 3)
t.full((2,), 3.)
t.full((2, 2), True)
t.full((2,), 2, dtype=t.float64)
t.arange(5)
t.arange(1, 5)
t.arange(1, 5, 2)
t.arange(0, 1, 0.25)
t.arange(5.)
t.arange(5, 0, -2)
t.arange(0, 5, -1)
t.arange(0, 5, 0)
t.linspace(0, 1, 5)
t.linspace(0, 1, 1)
t.eye(3)
t.eye(2, 3)
t.zeros_like(t.ones(2, dtype=t.int32))
t.ones_like(t.zeros(2), dtype=t.int64)
t.full_like(t.zeros(2), 5)
t.Tensor([1, 2])
t.Tensor(2, 3).shape
t.FloatTensor([1, 2])
t.LongTensor([1, 2])
t.LongTensor([1.5])
t.ByteTensor([1])
t.Tensor(t.Size([2, 3])).shape
t.Tensor().shape
t.IntTensor(2).dtype
t.tril_indices(3, 3)
t.logspace(0, 2, 3)
t.empty(2, 3).shape
t.randperm(5).sort()[0]
t.rand(3).dtype
t.randn(2, 3, dtype=t.float64).dtype
t.randint(5, (2,)).dtype
t.randint(3, 2, (2,))
t.normal(0., 1., (2, 3)).shape
t.normal(t.zeros(3), 1.).shape
t.bernoulli(t.ones(3))
t.multinomial(t.tensor([0., 1.]), 1)
t.multinomial(t.tensor([-1., 1.]), 1)
t.get_default_dtype()
t.finfo(t.float32).eps
t.iinfo(t.int32).max
t.finfo(t.int32)
t.meshgrid(t.arange(2), t.arange(3), indexing='xy')
t.tensor([1, 2]).new_zeros(2)
t.tensor([1.]).new_tensor([1, 2])
t.ones(2).new_full((2,), 3)
t.is_tensor(t.ones(1))
t.ones(2).type()
t.ones(2).type('torch.DoubleTensor').dtype
t.ones(2).type(t.LongTensor)
t.ones(2).type(t.int32)
isinstance(t.ones(2), t.FloatTensor)
t.numel(t.ones(2, 3))
t.tensor(3).item()
t.ones(2).item()
t.ones(1, 1).item()
float(t.ones(1))
int(t.tensor(2.7))
bool(t.ones(2))
bool(t.zeros(0))
len(t.ones(3))
len(t.tensor(1))
list(t.arange(2))
[1, 2, 3][t.tensor(1)]
range(t.tensor(3))
[1][t.tensor(0.)]
2 in t.tensor([1, 2])
'a' in t.ones(2)
t.ones(2, 3).tolist()
t.tensor(2).tolist()
np.asarray(t.ones(2))
t.ones(2, requires_grad=True).numpy()
np.float64(2)*t.ones(2)
t.ones(2)*np.float64(2)
t.ones(2)*np.ones(2)
t.ones(2)/np.sqrt(4)
t.ones(2)+None
t.ones(2)+'a'
t.ones(2)==None
t.ones(2)!='a'
t.ones(2)+[1, 2]
math.sqrt(t.tensor(4.))
round(t.tensor(2.6))
t.ones(2).dim()
t.ones(2, 3).size(1)
t.ones(2, 3).size(-1)
t.ones(2, 3).size(5)
t.ones(2, 3).stride()
t.ones(2, 3).t().stride()
t.ones(2, 3).t().is_contiguous()
t.ones(4, 3)[1:].storage_offset()
t.ones(2).element_size()
t.ones(2).is_cuda
t.ones(2).device
t.ones(2).to('cpu')
t.ones(2).to(t.float64)
t.ones(2).to('cpu', t.int64)
t.ones(2).to(t.ones(1, dtype=t.int32))
t.ones(2).to(device='cpu', dtype=t.float16).dtype
t.ones(2).double().dtype
t.ones(2).half().dtype
t.ones(2).is_floating_point()
t.allclose(t.ones(2), t.ones(2)+1e-9)
t.equal(t.ones(2), t.ones(3))
t.isclose(t.ones(2), t.tensor([1., 2.]))
t.clamp(t.arange(5.), 1, 3)
t.clamp(t.arange(5), 1.5, 3)
t.tensor(5)//2
-5//t.tensor(2)
t.tensor([-5, 5])%3
t.fmod(t.tensor([-5, 5]), 3)
t.tensor([-5., 5])//2
t.tensor([1, 2])//0
t.tensor([1., 2])/0
t.tensor([1, 2])/2
2**t.arange(3)
t.arange(3)**2
t.arange(3)**-1
t.arange(3.)**-1
t.arange(3)**0.5
t.div(t.tensor([-5, 5]), 2, rounding_mode='trunc')
t.div(t.tensor([-5, 5]), 2, rounding_mode='floor')
t.div(t.tensor([-5., 5]), 2, rounding_mode='x')
t.result_type(t.tensor([1, 2]), 1.5)
t.result_type(t.ones(2), t.tensor(1, dtype=t.float64))
t.promote_types(t.int32, t.float32)
t.is_floating_point(t.arange(3))
"""

SHAPES = """
t.ones(2, 3).view(3, 2).shape
t.ones(2, 3).view(-1).shape
t.ones(2, 3).view(t.Size([6])).shape
t.ones(2, 3).reshape(-1, 2).shape
t.ones(2, 3).view(4)
t.zeros(0).view(-1, 0)
t.zeros(0, 3).view(0, -1).shape
t.ones(2, 1, 3).squeeze().shape
t.ones(2, 1, 3).squeeze(0).shape
t.ones(2, 1, 1).squeeze((1, 2)).shape
t.ones(2).unsqueeze(-1).shape
t.ones(2).unsqueeze(2)
t.ones(2, 3, 4).permute(2, 0, 1).shape
t.ones(2, 3).permute(1, 0).shape
t.ones(2, 3, 4).transpose(0, 2).shape
t.ones(2, 3).T.shape
t.ones(2, 3, 4).mT.shape
t.ones(2, 3, 4).t()
t.ones(2, 3, 4).flatten(1).shape
t.tensor(1).flatten().shape
t.ones(2, 3).flatten(1, 0)
t.ones(1, 3).expand(4, 3).shape
t.ones(3).expand(2, -1).shape
t.ones(3).expand(2, 4)
t.ones(2, 3).expand(3)
t.ones(3).expand_as(t.ones(2, 3)).shape
t.cat([t.ones(2, 3), t.zeros(1, 3)])
t.cat((t.ones(2), t.tensor([])))
t.cat([t.ones(2, 2), t.ones(2, 3)], dim=1).shape
t.cat([t.ones(2, 2), t.ones(2, 3)], axis=1).shape
t.cat([t.ones(2), t.ones(2, dtype=t.int64)]).dtype
t.cat([t.tensor(1), t.tensor(2)])
t.stack([t.ones(2), t.zeros(2)], 1)
t.stack([])
t.cat([])
t.arange(10).split(3)
t.arange(10).split([3, 7])
t.arange(10).split([3, 6])
t.arange(10).chunk(3)
t.arange(4).chunk(8)
t.arange(4).reshape(2, 2).unbind(1)
t.arange(3).repeat(2, 2)
t.arange(3).repeat(2)
t.ones(2, 2).repeat(2)
t.arange(3).tile(2, 2)
t.arange(3).repeat_interleave(2)
t.repeat_interleave(t.arange(3), t.tensor([1, 0, 2]))
t.arange(6).reshape(2, 3).repeat_interleave(2, dim=1)
t.arange(6).reshape(2, 3).flip(0)
t.arange(6).reshape(2, 3).flip(0, 1)
t.flip(t.arange(3), dims=(0,))
t.arange(4).roll(1)
t.arange(4).reshape(2, 2).roll(1, 0)
t.arange(9).reshape(3, 3).tril()
t.arange(9).reshape(3, 3).triu(1)
t.diag(t.arange(3))
t.arange(9).reshape(3, 3).diag()
t.arange(9).reshape(3, 3).diagonal(1)
t.arange(9).reshape(3, 3).trace()
t.ones(2, 3).narrow(1, 1, 2).shape
t.ones(2, 3).select(1, 0).shape
t.arange(5).unfold(0, 2, 1)
t.broadcast_to(t.arange(3), (2, 3))
t.ones(2, 3).movedim(0, 1).shape
t.ones(6).unflatten(0, (2, -1)).shape
t.hstack([t.ones(2), t.ones(1)])
t.vstack([t.ones(2), t.ones(2)])
t.tensor_split(t.arange(7), 3)
t.tensor_split(t.arange(7), (2, 5))
t.atleast_1d(t.tensor(1))
t.ones(3, 4).swapaxes(0, 1).shape
t.ones(2, 3).ravel().shape
t.arange(6).view(2, 3).view_as(t.ones(3, 2))
"""

REDUCTIONS = """
a.sum()
a.sum(0)
a.sum(dim=1, keepdim=True)
a.sum((0, 1))
a.sum(axis=0)
a.sum([0])
a.sum(1, keepdims=True)
a.sum(2)
a.sum(-3)
a.sum((0, 0))
a.sum(dim='a')
a.mean()
a.mean(0)
a.mean(dim=(0, 1))
a.long().mean()
a.std()
a.std(0)
a.std(0, unbiased=False)
a.std(False)
a.var(1, keepdim=True)
a.var(correction=0)
a.max()
a.max(0)
a.max(1, keepdim=True)
a.max(dim=1)[1]
a.max(a)
a.min(1).values
a.argmax()
a.argmax(1)
a.argmax(dim=0, keepdim=True)
a.argmin(axis=1)
a.amax(0)
a.amin((0, 1))
a.prod()
a.prod(1)
a.any()
a.all()
a.all(1)
(a>1).any(0)
a.cumsum(1)
a.cumprod(0)
a.logsumexp(1)
a.norm()
a.norm(1)
a.norm(dim=1)
a.norm(p=1, dim=0)
a.norm(float('inf'))
a.norm('fro')
a.sort()
a.sort(descending=True)
a.sort(0)
a.argsort(descending=True)
a.topk(2)
a.topk(1, dim=0, largest=False)
a.topk(5)
a.median()
a.median(1)
a.kthvalue(2)
a.unique()
a.count_nonzero()
t.zeros(0).sum()
t.zeros(0).mean()
t.zeros(0).max()
t.zeros(2, 0).max(1)
t.zeros(0, 2).max(1)
t.zeros(0).prod()
t.zeros(0).argmax()
t.tensor(2.).max(0)
t.tensor(2.).sum(0)
t.tensor(2.).mean(-1)
t.tensor(2.).std()
t.tensor([1, 2, 2, 3]).unique(return_counts=True)
t.tensor([1, 2, 2, 3]).bincount()
t.tensor([1, 2, 2]).bincount(minlength=5)
t.tensor([[1, 0], [0, 2]]).nonzero()
t.tensor([[1, 0], [0, 2]]).nonzero(as_tuple=True)
t.where(t.tensor([1, 0, 1])>0)
t.where(t.tensor([True, False]), 1., 0.)
t.where(t.tensor([True, False]), t.ones(2), 0)
t.where(t.tensor([1, 0]), 1., 0.)
t.histc(t.tensor([1., 2, 1]), 4, 0, 3)
a.dist(a+1)
t.tensor([1, 2]).sum().dtype
t.tensor([True, True]).sum()
t.tensor([1, 2], dtype=t.int32).sum().dtype
t.tensor([1., 2.]).sum(dtype=t.float64).dtype
t.tensor([1, 2]).float().mean()
t.var_mean(a)
t.std_mean(a, 1)
t.nansum(a)
t.aminmax(a)
t.sum(a, 1)
t.max(a, 1)
t.max(a, dim=1)
t.argmax(a, dim=-1)
t.mean(a, dim=0)
t.tensor([float('nan'), 1.]).max()
t.tensor([1., float('nan'), 2]).argmax()
t.tensor([3, 1, 2]).sort(stable=True, descending=True)
"""

SUBSCRIPTS = """
b[0]
b[-1]
b[2]
b[0, 1]
b[0, 1, 2]
b[0, 1, 2, 3]
b[...]
b[..., 0]
b[:, 1:]
b[:, :, ::2]
b[:, ::-1]
b[None]
b[:, None].shape
b[0, None, 1]
b[t.tensor([0, 1])]
b[[0, 1]]
b[:, [0, 2]]
b[[0, 1], [1, 2]]
b[:, t.tensor([[0, 1], [1, 2]])].shape
b[t.tensor(1)]
b[t.tensor([True, False])]
b[t.tensor([True])]
b[b>10]
b[b[0]>3]
b[:, b[0, :, 0]>3]
b[True]
b[False].shape
b[t.tensor([0.5])]
b[1.5]
b['a']
b[0:1, ..., None].shape
b[t.tensor([], dtype=t.long)].shape
b[[]].shape
b[np.array([0, 1])].shape
b[np.int64(1)]
b[t.tensor([0, 1]), :, t.tensor([0, 1])].shape
b[0, :, [0, 1]].shape
b[:, 0, [0, 1]].shape
b[t.tensor([3])]
b[slice(None), 1]
b[(0, 1)]
b[range(2)].shape
b[t.tensor([1, 0], dtype=t.uint8)].shape
b[t.tensor([0, 1], dtype=t.int32)].shape
b[-1:]
b[5:].shape
b[:, t.tensor([0]), t.tensor([0, 1])].shape
"""

ASSIGNMENTS = """
b[0]=1
b[:, 1]=t.tensor([1, 2, 3, 4])
b[b>10]=0
b[b>10]=t.arange(13)
b[0, 0, 0]=9.7
b[..., -1]=-1
b[[0, 1], [0, 1]]=5
b[:, ::2]=0
b[0]=t.ones(4)*2
b[0]=t.ones(5)
b[0, 0]=[1, 2, 3, 4]
b[5]=1
b[t.tensor([0, 0])]=t.tensor(7)
b[None]=1
b[t.tensor([True, False])]=3
b[0]='a'
b[0]=None
b[0, 0]=np.float64(3)
b[b>100]=1
"""

AUTOGRAD = """
x.sum().backward(); r=x.grad
(x*2).backward()
(x*x).backward(t.ones(3)); r=x.grad
(x*x).backward(t.ones(2))
x.sum().backward(); x.sum().backward(); r=x.grad
y=(x*x).sum(); y.backward(); y.backward()
y=(x+1).sum(); y.backward(); y.backward(); r=x.grad
y=(x*x).sum(); y.backward(retain_graph=True); y.backward(); r=x.grad
x.add_(1)
x+=1
x[0]=1
x.zero_()
x.data.zero_(); r=x
x.data-=1; r=x
x.data=t.zeros(2); r=x
x.detach().add_(1); r=x
y=x*2; y.add_(1); y.sum().backward(); r=x.grad
y=x.exp(); y.add_(1); y.sum().backward()
y=x*2; z=y*y; y.add_(1); z.sum().backward()
y=x.exp(); y.mul_(2); y.sum().backward()
y=x*2; y[0]=5; y.sum().backward(); r=x.grad
y=x*2; y[1]=x[0]*3; y.sum().backward(); r=x.grad
y=t.zeros(3); y[1]=x[0]*3; (y*y).sum().backward(); r=x.grad, y.requires_grad
y=t.zeros(3); y+=x; (y*y).sum().backward(); r=x.grad
y=t.zeros(3); y.copy_(x); (y*y).sum().backward(); r=x.grad
y=x*2; y.zero_(); y.sum().backward(); r=x.grad
y=x*2; y.fill_(3.); r=y.requires_grad
y=x*1; y.exp_(); y.sum().backward(); r=x.grad
y=x*1; y.sigmoid_().tanh_(); y.sum().backward(); r=x.grad
y=x*1; y.clamp_(1.5, 2.5); y.sum().backward(); r=x.grad
y=x*1; y.masked_fill_(x>1.5, 0); y.sum().backward(); r=x.grad
y=x*1; y.pow_(2); y.sum().backward(); r=x.grad
y=x*1; y.div_(2).sub_(1).mul_(3).neg_(); y.sum().backward(); r=x.grad
y=x*1; y/=2; y-=1; y*=x; y.sum().backward(); r=x.grad
x.requires_grad_(False); r=x
y=x*2; y.requires_grad_(False)
y=x*2; y.requires_grad=False
y=x*2; y.requires_grad_(); r=y.requires_grad
t.arange(3).requires_grad_()
r=x.is_leaf, (x*2).is_leaf, x.detach().is_leaf
r=(x*2).grad_fn.name()
r=x.grad_fn
r=(x*2).detach().requires_grad
y=x*2; y.detach_(); r=y.requires_grad, y.is_leaf
y=x*2; y.retain_grad(); y.sum().backward(); r=y.grad
t.ones(2).retain_grad()
y=x*2; y.sum().backward(); r=y.grad
x.grad=t.ones(3); r=x.grad
x.grad=t.ones(2)
x.grad=1
x.grad=t.ones(3).double()
x.grad=t.ones(3); (x*2).sum().backward(); r=x.grad
x.grad=None; r=x.grad
r=t.autograd.grad((x*x).sum(), x)
r=t.autograd.grad((x*x).sum(), [x])
y=t.ones(3, requires_grad=True); t.autograd.grad((x*x).sum(), y)
y=t.ones(3, requires_grad=True); r=t.autograd.grad((x*x).sum(), [x, y], allow_unused=True)
y=x*2; r=t.autograd.grad((y*y).sum(), y)
y=x*2; z=(y*y).sum(); r=t.autograd.grad(z, [x, y])
g=t.autograd.grad((x**3).sum(), x, create_graph=True)[0]; g.sum().backward(); r=x.grad
t.autograd.grad((x*x), x)
r=t.autograd.grad(x*x, x, t.ones(3))
r=t.autograd.grad([x.sum(), (x*x).sum()], x)
r=t.autograd.grad(x.sum(), t.ones(3))
h=x.register_hook(lambda g:g*2); x.sum().backward(); r=x.grad
h=x.register_hook(lambda g:g*2); h.remove(); x.sum().backward(); r=x.grad
y=x*2; y.register_hook(lambda g:g+1); y.sum().backward(); r=x.grad
l=[]; y=x*2; y.register_hook(lambda g:l.append(g)); y.sum().backward(); r=x.grad, l
t.ones(2).register_hook(lambda g:g)
t.set_grad_enabled(False); y=x*2; t.set_grad_enabled(True); r=y.requires_grad
a, b=x.max(0); a.backward(); r=x.grad
y=x.view(3, 1); y.sum().backward(); r=x.grad
y=x.expand(2, 3); y.sum().backward(); r=x.grad
r=copy.deepcopy(x)
copy.deepcopy(x*2)
r=pickle.loads(pickle.dumps(x))
y=x.clone(); y.sum().backward(); r=x.grad
y=x.double(); y.sum().backward(); r=x.grad
y=x.long(); r=y.requires_grad
y=(x>1); r=y.requires_grad
y=x.sum(); y.backward(inputs=[x]); r=x.grad
w=t.ones(3, requires_grad=True); y=(x*w).sum(); y.backward(inputs=[w]); r=x.grad, w.grad
x.sum().backward(create_graph=True); r=x.grad
x._version; y=t.zeros(3); y.add_(1); y[0]=1; v=y.view(3); v.mul_(2); r=y._version, v._version, x._version
y=t.zeros(2, requires_grad=True); v=y.view(2, 1); v.add_(1)
r=t.zeros(3).add_(t.ones(2, 3))
r=t.zeros(3).add_(t.ones(2))
r=t.arange(3).add_(1.5)
r=t.arange(3).mul_(2)
r=t.ones(3).masked_fill_(t.tensor([True, False, True]), value=0.0)
r=t.ones(3).masked_fill_(mask=t.tensor([True, False, True]), value=2)
t.ones(3).masked_fill_(value=2.0)
r=t.ones(3).mul_(other=t.arange(3.0))
t.ones(3).mul_(2, other=3)
r=t.full((3,), 7.0).remainder_(other=4)
r=t.full((3,), 7.0).hypot_(other=t.ones(3))
r=t.full((3,), 7.0).pow_(exponent=2)
r=t.full((3,), 7.0).pow(exponent=2), t.pow(t.arange(3), exponent=2)
r=t.pow(input=t.ones(2), exponent=3)
r=t.heaviside(input=t.arange(3) - 1, values=t.tensor(5)), t.zeros(2).heaviside_(values=t.ones(2))
y=x*1; y.pow_(exponent=3); y.masked_fill_(y>2, value=0.0); y.sum().backward(); r=x.grad
r=t.zeros(3).add_(t.arange(3))
r=t.zeros(3).add_(1, alpha=2)
r=t.zeros(3).copy_(t.arange(3))
r=t.zeros(2, 3).copy_(t.arange(3))
r=t.arange(3).copy_(t.ones(3)*1.7)
r=t.ones(3).fill_(t.tensor(2))
r=t.ones(3).fill_(t.ones(2))
r=t.ones(2, 2).masked_fill_(t.tensor([True, False]), 3)
r=t.zeros(3).scatter_(0, t.tensor([1]), t.tensor([5.]))
r=t.zeros(2, 3).scatter_(1, t.tensor([[1], [2]]), 1)
r=t.zeros(2, 3).scatter_(1, t.tensor([[1], [2]]), 1.0)
r=t.zeros(3).index_add_(0, t.tensor([0, 0, 1]), t.ones(3))
r=t.ones(3).index_fill_(0, t.tensor([1]), 7)
r=t.zeros(3).scatter_add_(0, t.tensor([0, 0]), t.ones(2))
r=t.ones(3)[:2].zero_()
y=t.ones(3); y[:2].zero_(); r=y
y=t.ones(3); y[:2]+=1; r=y
y=t.ones(3); z=y; z+=1; r=y
y=t.ones(3); y.t_
y=t.ones(3); y.resize_(2, 2).shape
r=t.zeros(4).normal_(0, 1).shape
r=t.zeros(4).uniform_(2, 1)
r=t.ones(2).bool().logical_not_()
r=t.zeros(3, dtype=t.int64).random_(5).shape
y=x*1; y.unsqueeze_(0); r=y.shape
y=t.ones(1, 2); y.squeeze_(0); r=y.shape
y=t.ones(2, 3); y.t_(); r=y.shape
"""  # noqa: E501

PRINTED = [
    *([v] for v in (0.0, 1.0, 1e-5, 0.125, 1e10, math.nan, math.inf, 123456.0)),
    [1.0, 2.5], [1e-5, 1.0], [1e10, 1.0], [math.nan, 1.0], [math.inf, -1.5], [123456.0, 0.001],
    [99999.0, 100000.0], [1e8, 1e9], [-1.0, 2.0], [True, False], [3, -200], [[1.5], [-2.0]],
]  # fmt: skip
PRINTED_SHAPES = [(0,), (0, 3), (2, 0), (3, 4), (2, 3, 4), (30,), (1001,), (40, 40), (7, 200),
                  (3, 7, 9, 9), (2, 2, 2, 2)]  # fmt: skip
PRINT_OPTIONS = [{"precision": 2}, {"sci_mode": False}, {"sci_mode": True}, {"linewidth": 40},
                 {"profile": "full"}, {"profile": "short"},
                 {"edgeitems": 1, "threshold": 5}]  # fmt: skip

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
OPERATORS = {
    "+": lambda a, b: a + b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    ">": lambda a, b: a > b, "//": lambda a, b: a // b, "%": lambda a, b: a % b,
    "**": lambda a, b: a**b, "&": lambda a, b: a & b,
}  # fmt: skip
METHODS = (
    "exp sqrt sin sigmoid neg sum mean prod std sign square max argmax any all norm reciprocal "
    "tanh isnan bitwise_not var logical_not"
)


def plain(value):
    """repr without the names of the two libraries."""
    return re.sub(r"\b(torch|fastdl)\.", "", repr(value))


def outcome(call, t):
    """What a call gives: its repr, or the type of its error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(call(t))
        except Exception as error:
            return type(error)


def same(call):
    ours, theirs = outcome(call, fastdl), outcome(call, torch)
    if isinstance(ours, type) and isinstance(theirs, type):
        # PyTorch's errors are of its types or narrower: NotImplementedError is a RuntimeError.
        assert issubclass(ours, theirs) or issubclass(theirs, ours)
    else:
        assert ours == theirs


def names_for(t):
    return {
        "t": t, "np": np, "math": math, "copy": copy, "pickle": pickle,
        "a": t.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]]),
        "b": t.arange(24).reshape(2, 3, 4),
        "x": t.tensor([1.0, 2.0, 3.0], requires_grad=True),
    }  # fmt: skip


def lines(text):
    return text.strip().split("\n")


@pytest.mark.parametrize("line", lines(CREATION + SHAPES + REDUCTIONS + SUBSCRIPTS))
def test_expression(line):
    same(lambda t: eval(line, names_for(t)))


@pytest.mark.parametrize("line", lines(ASSIGNMENTS))
def test_assignment(line):
    def run(t):
        names = names_for(t)
        exec(line, names)
        return names["b"]

    same(run)


@pytest.mark.parametrize("line", lines(AUTOGRAD))
def test_statements(line):
    def run(t):
        names = names_for(t)
        exec(line, names)
        return names.get("r")

    same(run)


@pytest.mark.parametrize("values", PRINTED, ids=str)
def test_printing(values):
    same(lambda t: t.tensor(values))
    if not isinstance(values[0], (bool, int)):
        same(lambda t: t.tensor(values, dtype=t.float64))


@pytest.mark.parametrize("shape", PRINTED_SHAPES, ids=str)
def test_printing_of_shapes(shape):
    same(lambda t: t.arange(math.prod(shape)).reshape(shape))
    same(lambda t: t.arange(math.prod(shape)).reshape(shape) / 7.0)
    same(lambda t: t.ones(shape, requires_grad=True) * 2)


@pytest.mark.parametrize("options", PRINT_OPTIONS, ids=str)
def test_printing_options(options):
    def run(t):
        t.set_printoptions(**options)
        try:
            return [repr(t.arange(40).reshape(4, 10) / 3), repr(t.tensor([1e-5, 2.0]))]
        finally:
            t.set_printoptions(profile="default", sci_mode=None)

    same(run)


@pytest.mark.parametrize("operator", OPERATORS)
def test_promotion(operator):
    run = OPERATORS[operator]
    whole = {"//", "%", "**"}
    for left, right in itertools.product(DTYPES, DTYPES):
        if left == right == "bool" and operator in whole:
            continue  # PyTorch has no such loops
        pair = lambda t, other, d=left, e=right: (
            t.tensor([3, 1], dtype=getattr(t, d)),
            t.tensor(other, dtype=getattr(t, e)),
        )
        same(lambda t, pair=pair: run(*pair(t, [1, 2])))
        same(lambda t, pair=pair: run(*pair(t, 2)).dtype)
    for d, number in itertools.product(DTYPES, (2, 2.5, True)):
        if d == "bool" and number is True and operator in whole:
            continue
        same(lambda t, d=d, n=number: run(t.tensor([3, 1], dtype=getattr(t, d)), n).dtype)
        same(lambda t, d=d, n=number: run(t.tensor(3, dtype=getattr(t, d)), n).dtype)
        same(lambda t, d=d, n=number: run(n, t.tensor([3, 1], dtype=getattr(t, d))).dtype)


@pytest.mark.parametrize("method", METHODS.split())
def test_dtype_of_methods(method):
    for d in DTYPES:
        same(lambda t, d=d: getattr(t.tensor([3, 1], dtype=getattr(t, d)), method)().dtype)


def test_the_class_prints_as_programs_name_it():
    assert repr(type(fastdl.zeros(1))) == repr(torch.Tensor).replace("torch", "fastdl")
    assert pickle.loads(pickle.dumps(fastdl.Tensor)) is fastdl.Tensor
