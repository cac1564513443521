"""Expressions whose node has PyTorch's name; test_autograd.py evaluates them in both."""

EXPRESSIONS = """
    x+x; x+1; 1+x; x-x; x-1; x*x; x*2; 2*x; x/x; x/2; x**2; x**x; 2**x; -x; abs(x); x@m; x@v;
    v@v; b@b.transpose(1,2); b@m; v@m; x.mm(m); x.mv(v); v.dot(v); torch.matmul(x,m);
    torch.outer(v,v); x.exp(); x.log(); x.sqrt(); x.rsqrt(); x.sin(); x.cos(); x.tan(); x.asin();
    x.acos(); x.atan(); x.sinh(); x.cosh(); x.tanh(); x.sigmoid(); x.relu(); x.erf(); x.erfc();
    x.erfinv(); x.lgamma(); x.digamma(); x.expm1(); x.log1p(); x.log2(); x.log10(); x.exp2();
    x.reciprocal(); x.abs(); x.neg(); x.sign(); x.floor(); x.ceil(); x.round(); x.trunc();
    x.frac(); x.clamp(0,1); x.clamp(min=0); x.logit(); torch.atan2(x,x); torch.logaddexp(x,x);
    torch.hypot(x,x); torch.fmod(x,2); torch.remainder(x,2); x%2; torch.lerp(x,x,0.5);
    torch.addcmul(x,x,x); torch.addcdiv(x,x,x); torch.pow(x,2); torch.pow(2,x);
    torch.maximum(x,x); torch.minimum(x,x); torch.max(x,x); torch.where(x>0,x,x);
    torch.nan_to_num(x); x.sum(); x.sum(0); x.mean(); x.mean(1); x.max(); x.min(); x.max(1)[0];
    x.min(1)[0]; x.amax(1); x.amin(1); x.prod(); x.prod(1); x.var(); x.var(1); x.std(); x.std(1);
    x.norm(); x.norm(dim=1); torch.linalg.norm(x); torch.linalg.vector_norm(x); x.logsumexp(1);
    x.cumsum(0); x.cumprod(0); x.median(); torch.cummax(x,0)[0]; x.view(-1); x.reshape(-1); x.T;
    x.mT; x.transpose(0,1); x.permute(1,0); x.expand(2,3,4); x.flatten(); b.flatten(1); x[0];
    x[0,1]; x[:,1]; x[1:]; x[:,::2]; x[None]; x[...,0]; x[idx]; x[x>1]; x.narrow(0,0,1);
    x.select(0,0); x.split(1)[0]; x.chunk(2)[0]; x.unbind(0)[0]; x.gather(1,idx.view(3,1));
    x.masked_fill(x>1,0.); x.scatter_add(1,idx.view(3,1),x); x.index_add(0,idx,x); x.flip(0);
    x.tril(); x.triu(); v.diag(); m.diagonal(); torch.diag_embed(v); torch.cat([x,x]);
    torch.stack([x,x]); torch.hstack([x,x]); x.clone(); x.t().contiguous(); x.double();
    x.to(torch.float64); x.movedim(0,1); x.unfold(0,2,1); x.as_strided((2,),(1,));
    x.swapaxes(0,1); x.unflatten(1,(2,2)); x.ravel(); x.view_as(x); x.expand_as(b);
    x.broadcast_to((2,3,4)); torch.meshgrid(v,v)[0]; m.inverse(); m.det(); m.logdet();
    torch.linalg.inv(m); torch.linalg.det(m); torch.linalg.slogdet(m)[1];
    torch.linalg.cholesky(m@m.T); torch.linalg.qr(m)[0]; torch.linalg.svd(m)[1];
    torch.linalg.svdvals(m); torch.linalg.eigh(m@m.T)[0]; torch.linalg.pinv(m); torch.cdist(x,x);
    F.softmax(x,1); F.log_softmax(x,1); F.relu(x); F.gelu(x); F.elu(x); F.selu(x);
    F.leaky_relu(x); F.silu(x); F.softplus(x); F.hardtanh(x); F.relu6(x); F.hardswish(x);
    F.hardsigmoid(x); F.mish(x); F.tanhshrink(x); F.softshrink(x); F.hardshrink(x);
    F.softsign(x); F.prelu(x,torch.rand(1)); F.linear(x,m); F.linear(x,m,v); F.linear(b,m,v);
    F.dropout(x,0.5); F.embedding(idx,x); F.mse_loss(x,x*2); F.l1_loss(x,x*2);
    F.huber_loss(x,x*2); F.cross_entropy(x,idx); F.nll_loss(x,idx);
    F.binary_cross_entropy(x.sigmoid(),torch.zeros(3,4));
    F.binary_cross_entropy_with_logits(x,torch.zeros(3,4)); F.kl_div(x,x.detach());
    F.cosine_similarity(x,x); F.normalize(x); F.layer_norm(x,(4,));
    F.batch_norm(x,None,None,training=True); F.group_norm(img,3); F.conv2d(img,w);
    F.conv_transpose2d(img,w.transpose(0,1)); F.max_pool2d(img,2); F.avg_pool2d(img,2);
    F.pad(x,(1,1)); F.unfold(img,2); F.one_hot(idx).float()*s
"""


def operands(t):
    """The names that the expressions use."""
    t.manual_seed(0)
    names = {
        "torch": t,
        "F": t.nn.functional,
        "x": t.rand(3, 4) + 0.5,
        "v": t.rand(4) + 0.5,
        "s": t.tensor(2.0),
        "m": t.rand(4, 4) + t.eye(4) * 4,
        "b": t.rand(2, 3, 4),
        "img": t.rand(2, 3, 8, 8),
        "w": t.rand(4, 3, 3, 3),
        "seq": t.rand(2, 3, 8),
    }
    for name in names.keys() - {"torch", "F"}:
        names[name].requires_grad_()
    return names | {"idx": t.tensor([0, 2, 1])}
