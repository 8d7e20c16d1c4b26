cpdef object heappush(list heap, tuple entry)
cpdef tuple heappop(list heap)
