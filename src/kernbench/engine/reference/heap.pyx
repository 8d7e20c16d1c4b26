# cython: boundscheck=False, wraparound=False
"""The priority queue of the calendar: entries that begin with three whole numbers, the least of them first."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

cdef extern from *:
    """
    #define KB_NUMBER(entry, i) PyLong_AsLongLong(PyTuple_GET_ITEM(entry, i))
    #define KB_ITEMS(list) (((PyListObject *)(list))->ob_item)
    """
    long long KB_NUMBER(PyObject*, Py_ssize_t) except? -1
    PyObject** KB_ITEMS(list)
    void release "Py_DECREF" (PyObject*)


cdef inline bint is_before(PyObject* a, PyObject* b) except -1:
    cdef long long x = KB_NUMBER(a, 0), y = KB_NUMBER(b, 0)
    if x != y:
        return x < y
    x = KB_NUMBER(a, 1)
    y = KB_NUMBER(b, 1)
    if x != y:
        return x < y
    return KB_NUMBER(a, 2) < KB_NUMBER(b, 2)


cpdef object heappush(list heap, tuple entry):
    cdef PyObject* new = <PyObject*>entry
    cdef Py_ssize_t at = len(heap), parent
    heap.append(entry)
    cdef PyObject** items = KB_ITEMS(heap)
    while at > 0:
        parent = (at - 1) >> 1
        if not is_before(new, items[parent]):
            break
        items[at] = items[parent]
        at = parent
    items[at] = new


cpdef tuple heappop(list heap):
    cdef tuple last = heap.pop()
    cdef Py_ssize_t n = len(heap), at = 0, child
    if n == 0:
        return last
    cdef PyObject** items = KB_ITEMS(heap)
    cdef tuple first = <tuple>items[0]
    while True:
        child = 2 * at + 1
        if child >= n:
            break
        if child + 1 < n and is_before(items[child + 1], items[child]):
            child += 1
        if not is_before(items[child], <PyObject*>last):
            break
        items[at] = items[child]
        at = child
    items[at] = <PyObject*>last
    Py_INCREF(last)  # the heap's reference to the last entry, in place of that to the first
    release(<PyObject*>first)
    return first
