/* Batched file reads.
 *
 * 1. The root directory is opened once; keys are opened relative to it.
 * 2. Threads take short runs of requests from an atomic counter. Within a run consecutive requests
 *    with the same key share the descriptor and the size.
 * 3. fstat tells the size, the range is checked, space is bump-allocated in the slab, pread fills it.
 * 4. The end of the slab only moves when a request fits, so a full slab wastes nothing and the
 *    callers of too large requests learn the size that they need.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include "native.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif
#ifndef PATH_MAX
#define PATH_MAX 4096
#endif

/* O_NONBLOCK: opening a named pipe must not wait for a writer. O_NOFOLLOW: the store decides about
 * a symbolic link in the place of an object, which gives READ_ERRNO + ELOOP. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)

typedef struct {
    const ReadFiles *job;
    int root;
    int64_t run; /* requests taken at a time */
    _Atomic int64_t next;
    _Atomic int64_t end; /* of the used part of the slab, a multiple of SLAB_ALIGN or past its size */
} Shared;

int32_t file_status(int error) {
    if (error == ENOENT || error == ENOTDIR || error == EISDIR) return READ_MISSING;
    return READ_ERRNO + error;
}

int file_same_key(const FileRanges *ranges, int64_t a, int64_t b) {
    const int64_t *offsets = ranges->offsets;
    int64_t length = offsets[a + 1] - offsets[a];
    return length == offsets[b + 1] - offsets[b] &&
           !memcmp(ranges->keys + offsets[a], ranges->keys + offsets[b], (size_t)length);
}

int file_root(const char *root, int32_t *status) {
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *status = fd < 0 ? file_status(errno) : READ_OK;
    return fd;
}

void file_close(OpenFile *file) {
    if (file->fd >= 0) close(file->fd); /* EINTR: Linux has closed it all the same */
    file->fd = -1;
}

int file_open(int root, const FileRanges *ranges, int64_t i, OpenFile *file) {
    char path[PATH_MAX];
    struct stat info;
    int64_t length = ranges->offsets[i + 1] - ranges->offsets[i];
    if (file->key >= 0 && file_same_key(ranges, file->key, i)) return 0;
    file_close(file);
    file->key = i;
    if (length >= PATH_MAX) {
        file->status = READ_ERRNO + ENAMETOOLONG;
        return 1;
    }
    memcpy(path, ranges->keys + ranges->offsets[i], (size_t)length);
    path[length] = 0;
    if (length == 0 || memchr(path, 0, (size_t)length) || path[0] == '/') {
        file->status = length == 0 ? READ_MISSING : READ_ERRNO + EINVAL;
        return 1;
    }
    do {
        file->fd = openat(root, path, OPEN_FLAGS);
    } while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0 || fstat(file->fd, &info)) {
        file->status = file_status(errno);
    } else if (S_ISDIR(info.st_mode)) {
        file->status = READ_MISSING;
    } else if (!S_ISREG(info.st_mode)) {
        file->status = READ_ERRNO + EINVAL;
    } else {
        file->status = READ_OK;
        file->size = info.st_size;
    }
    return 1;
}

int file_range(const OpenFile *file, int64_t start, int64_t length, int64_t *first, int64_t *size) {
    if (start < 0) {
        /* INT64_MIN has no negation: compare first */
        if (start < -file->size) return 0;
        start += file->size;
    }
    if (start > file->size || length > file->size - start) return 0;
    *first = start;
    *size = length < 0 ? file->size - start : length;
    return 1;
}

/* Return a position in the slab, or -1 when it is full. */
static int64_t allocate(Shared *shared, int64_t size) {
    int64_t end = atomic_load_explicit(&shared->end, memory_order_relaxed);
    for (;;) {
        if (end > shared->job->slab_size || size > shared->job->slab_size - end) return -1;
        int64_t next = end + size + (SLAB_ALIGN - 1 - (end + size + SLAB_ALIGN - 1) % SLAB_ALIGN);
        if (atomic_compare_exchange_weak(&shared->end, &end, next)) return end;
    }
}

int32_t file_read(int fd, uint8_t *to, int64_t start, int64_t size) {
    while (size > 0) {
        ssize_t got = pread(fd, to, (size_t)size, (off_t)start);
        if (got < 0) {
            if (errno == EINTR) continue;
            return file_status(errno);
        }
        if (got == 0) return READ_SHORT; /* the file shrank since fstat */
        to += got;
        start += got;
        size -= got;
    }
    return READ_OK;
}

static void read_one(Shared *shared, int64_t i, const OpenFile *file) {
    const ReadFiles *job = shared->job;
    int64_t start, size;
    job->positions[i] = job->sizes[i] = -1;
    job->statuses[i] = file->status;
    if (file->status != READ_OK) return;
    if (!file_range(file, job->files.starts[i], job->files.lengths[i], &start, &size)) {
        job->statuses[i] = READ_SHORT;
        return;
    }
    int64_t position = allocate(shared, size);
    if (position < 0) {
        job->statuses[i] = READ_NO_SPACE;
        job->sizes[i] = size;
        return;
    }
    job->statuses[i] = file_read(file->fd, job->slab + position, start, size);
    if (job->statuses[i] == READ_OK) {
        job->positions[i] = position;
        job->sizes[i] = size;
    }
}

static void *work(void *argument) {
    Shared *shared = argument;
    int64_t n = shared->job->n;
    for (;;) {
        int64_t i = atomic_fetch_add(&shared->next, shared->run);
        int64_t last = i + shared->run < n ? i + shared->run : n;
        OpenFile file = {-1, READ_OK, 0, -1};
        if (i >= n) return NULL;
        for (; i < last; i++) {
            file_open(shared->root, &shared->job->files, i, &file);
            read_one(shared, i, &file);
        }
        file_close(&file);
    }
}

int64_t read_files(const ReadFiles *job) {
    Shared shared = {.job = job};
    int32_t status;
    int wanted = job->threads < job->n ? job->threads : (int)job->n;
    shared.run = wanted > 1 ? job->n / (wanted * 4) : job->n;
    if (wanted > 1 && shared.run > 64) shared.run = 64;
    if (shared.run < 1) shared.run = 1;
    shared.root = file_root(job->files.root, &status);
    if (shared.root < 0) {
        for (int64_t i = 0; i < job->n; i++) {
            job->positions[i] = job->sizes[i] = -1;
            job->statuses[i] = status;
        }
        return 0;
    }
    run_threads(wanted, work, &shared);
    close(shared.root);
    int64_t end = atomic_load(&shared.end);
    return end < job->slab_size ? end : job->slab_size;
}
