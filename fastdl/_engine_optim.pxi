# What optimizers ask of the engine, for all parameters at once: included by _engine.pyx.

def gather(dict group, state, tuple names, fresh):
    """What an optimizer works on: those parameters of a group that have a gradient.

    state: parameter -> dict; an entry that lacks one of `names` is completed by fresh(parameter,
    group, entry, names). Returns (parameters, their arrays, gradients, for each name the list of
    its arrays, steps). Where an entry has a "step", that is counted up and listed in `steps`; else
    1 stands for an entry that was incomplete, 2 for others.
    """
    cdef list found = [], arrays = [], grads = [], steps = []
    cdef list states = [[] for _ in names]
    cdef TensorBase t
    cdef dict entry
    cdef bint new
    cdef Py_ssize_t k
    for parameter in group["params"]:
        t = <TensorBase?>parameter
        if t._grad is None:
            continue
        new = False
        if names:
            entry = state[parameter]
            for k in range(len(names)):
                value = entry.get(names[k])
                if value is None:
                    fresh(parameter, group, entry, names)
                    value = entry[names[k]]
                    new = True
                (<list>states[k]).append((<TensorBase?>value).array)
            step = entry.get("step")
            if step is None:
                step = 1 if new else 2
            else:
                entry["step"] = step = step + 1
            steps.append(step)
        found.append(parameter)
        arrays.append(t.array)
        grads.append((<TensorBase>t._grad).array)
    return found, arrays, grads, states, steps


def changed(list tensors):
    """Note that kernels wrote into the arrays of `tensors`."""
    cdef Version version
    for t in tensors:
        version = version_of(<TensorBase?>t)
        version.version += 1


def drop_gradients(list tensors):
    """Set `.grad` of all `tensors` to None."""
    cdef TensorBase t
    for item in tensors:
        t = <TensorBase?>item
        t._grad = None
        t.owns_grad = False
