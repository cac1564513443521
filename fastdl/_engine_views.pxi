# Views that follow their base through recorded in-place operations: included by _engine.pyx.
#
# A view knows its base, the tensor whose memory it shows; a base knows no views. A recorded change
# of either makes a new epoch of their common Version, and a view of an earlier epoch gets a new
# node when it is next used.

cdef inline int look_at(TensorBase view, TensorBase other) except -1:
    """Make `view` share the version of `other`, on whose memory it looks."""
    view.version = version_of(other)
    view.version.aliases += 1
    view.epoch = view.version.epoch
    view.is_view = True
    view.inference = other.inference
    if fdl_recording:
        view.base = other if other.base is None else other.base
    return 0


cdef inline int renew(TensorBase t) except -1:
    """A new node for a view whose base was changed by a recorded operation since."""
    if t.version is not None and t.epoch != t.version.epoch and t.epoch >= 0:
        view_again(t)
    return 0


cdef int view_again(TensorBase t) except -1:
    cdef TensorBase base = t.base
    cdef dict how
    if base is None:
        if t.is_view:
            raise RuntimeError(
                "a view that was created in no_grad mode, whose base or another view of it was "
                "modified in place by a recorded operation since, has no history: take the view "
                "again")
        t.epoch = t.version.epoch           # the change went through a detached alias
        return 0
    t.epoch = t.version.epoch
    how = None if base.node is None else GEOMETRY(base.array, t.array)
    t.node = None
    t.index = 0
    if how is not None:
        t.node = WINDOW.node_for((base,), (base.array,), how, 1, t.array)
        WINDOW.save(t.node, (base,), t)
    return 0


cdef int base_follows(TensorBase view) except -1:
    """Rewrite the history of the base after a recorded change of `view`: the base as it was, with
    the new value put where the view looks."""
    cdef TensorBase base = view.base, value
    cdef Version version = view.version
    cdef dict how = GEOMETRY(base.array, view.array)
    cdef tuple parts
    if how is None:                         # base.data was replaced
        view.base = None
        return 0
    how.pop("shape")
    value = <TensorBase>wrap(view.array)
    value.node = view.node
    parts = (former(base, False), value)
    base.node = PUT_WINDOW.node_for(parts, (base.array, view.array), how,
                                    (base.node is not None) | (view.node is not None) << 1,
                                    base.array)
    PUT_WINDOW.save(base.node, parts, base)
    base.index = 0
    version.epoch += 1
    base.epoch = version.epoch
    return view_again(view)
