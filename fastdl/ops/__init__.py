"""Operations on tensors, one module per family. An op is one place: forward on arrays, gradients,
function.
"""
