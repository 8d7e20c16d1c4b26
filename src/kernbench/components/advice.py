"""What the advice of several units has in common: words, and the names of who pays for a cause."""

from __future__ import annotations

from kernbench.messages.lines import ADD_OF_DOT, SHORT

LOADS, STORES = "pe_dma.rd", "pe_dma.wr"
SHORT_LOADS, SHORT_STORES = f"{SHORT}load", f"{SHORT}store"
# A cast takes PE_MATH, and what moves its operands and results, about as long as a whole op.
NARROWER = "use a narrower dtype that needs no cast"
FUSE = f"fuse operations (tl.fma, tl.softmax), {NARROWER}, or more PEs"
ADD_IN_ARRAY = {ADD_OF_DOT: "accumulate with acc = tl.dot(a, b, acc)"}
FEWER_COMMANDS = "use larger blocks and so fewer commands"
MORE_IN_A_LAUNCH = "put more work into one launch"
