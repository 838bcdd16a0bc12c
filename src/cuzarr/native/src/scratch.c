/* Scratch memory: one piece that grows. */
#define _GNU_SOURCE
#include "native.h"

#include <stdlib.h>
#include <sys/mman.h>

#define LARGE_PAGE ((size_t)2 * 1024 * 1024)

/* Memory for free(); in large pages where it has several, which take a fraction of the time that it
 * takes to touch small ones. */
static void *large_memory(size_t size) {
#ifdef MADV_HUGEPAGE
    void *found;
    if (size >= 2 * LARGE_PAGE && size <= SIZE_MAX - LARGE_PAGE &&
        !posix_memalign(&found, LARGE_PAGE, size)) {
        madvise(found, size, MADV_HUGEPAGE);
        return found;
    }
#endif
    return malloc(size);
}

uint8_t *scratch_room(Scratch *scratch, int64_t size) {
    if (!scratch->data || scratch->size < (size_t)size) {
        free(scratch->data);
        scratch->size = size > 0 ? (size_t)size : 1;
        scratch->data = large_memory(scratch->size);
        if (!scratch->data) scratch->size = 0;
    }
    return scratch->data;
}
