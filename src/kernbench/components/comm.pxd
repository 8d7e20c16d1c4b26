cimport cython

from kernbench.components.transfer cimport Channel, Transfer
from kernbench.messages.ipcq cimport IpcqDmaToken, QueueEnd


cdef class CommChannel(Channel):
    cdef public object pe_ipcq, fabric
    cdef public long long setup_ps, most_bytes, room_bytes
    cdef public bint is_refusing
    cdef object _departs, _sending
    cdef dict _landing

    @cython.locals(transfer=Transfer)
    cpdef depart(self, chunk)
    cdef _copy(self, Transfer transfer)
    @cython.locals(parcel=IpcqDmaToken, size_bytes="long long", landed_ps="long long", offset="long long")
    cpdef bint land(self, chunk) except -1
    cdef _arrive_in_order(self, QueueEnd end)
    cpdef arrive(self, IpcqDmaToken parcel, long long landed_ps)
