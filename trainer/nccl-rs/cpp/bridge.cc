// One translation unit of all that is small: nearly all of the time it takes goes into libtorch's headers.
#include "ddp.cc"
#include "group.cc"
#include "load.cc"
#include "memory.cc"
#include "optim.cc"
#include "stream.cc"
