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
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif
#ifndef PATH_MAX
#define PATH_MAX 4096
#endif
#define MAX_THREADS 64

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

typedef struct {
    int fd; /* -1 when nothing is open */
    int32_t status;
    int64_t size;
    int64_t key; /* request whose key is open; -1 = none */
} Open;

static int32_t status_of_errno(int error) {
    if (error == ENOENT || error == ENOTDIR || error == EISDIR) return READ_MISSING;
    return READ_ERRNO + error;
}

static int same_key(const ReadFiles *job, int64_t a, int64_t b) {
    int64_t length = job->offsets[a + 1] - job->offsets[a];
    return length == job->offsets[b + 1] - job->offsets[b] &&
           !memcmp(job->keys + job->offsets[a], job->keys + job->offsets[b], (size_t)length);
}

static void close_file(Open *file) {
    if (file->fd >= 0) close(file->fd); /* EINTR: Linux has closed it all the same */
    file->fd = -1;
}

static void open_file(const Shared *shared, int64_t i, Open *file) {
    const ReadFiles *job = shared->job;
    char path[PATH_MAX];
    struct stat info;
    int64_t length = job->offsets[i + 1] - job->offsets[i];
    close_file(file);
    file->key = i;
    if (length >= PATH_MAX) {
        file->status = READ_ERRNO + ENAMETOOLONG;
        return;
    }
    memcpy(path, job->keys + job->offsets[i], (size_t)length);
    path[length] = 0;
    if (length == 0 || memchr(path, 0, (size_t)length) || path[0] == '/') {
        file->status = length == 0 ? READ_MISSING : READ_ERRNO + EINVAL;
        return;
    }
    do {
        /* O_NONBLOCK: opening a named pipe must not wait for a writer. O_NOFOLLOW: a link in the
         * place of the file is ELOOP; the store decides where it may lead, and reads it itself. */
        file->fd = openat(shared->root, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    } while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0 || fstat(file->fd, &info)) {
        file->status = status_of_errno(errno);
    } else if (S_ISDIR(info.st_mode)) {
        file->status = READ_MISSING;
    } else if (!S_ISREG(info.st_mode)) {
        file->status = READ_ERRNO + EINVAL;
    } else {
        file->status = READ_OK;
        file->size = info.st_size;
    }
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

static int32_t fill_from(int fd, uint8_t *to, int64_t start, int64_t size) {
    while (size > 0) {
        ssize_t got = pread(fd, to, (size_t)size, (off_t)start);
        if (got < 0) {
            if (errno == EINTR) continue;
            return status_of_errno(errno);
        }
        if (got == 0) return READ_SHORT; /* the file shrank since fstat */
        to += got;
        start += got;
        size -= got;
    }
    return READ_OK;
}

static void read_one(Shared *shared, int64_t i, const Open *file) {
    const ReadFiles *job = shared->job;
    int64_t start = job->starts[i], size = job->lengths[i];
    job->positions[i] = job->sizes[i] = -1;
    job->statuses[i] = file->status;
    if (file->status != READ_OK) return;
    job->statuses[i] = READ_SHORT;
    if (start < 0) {
        /* INT64_MIN has no negation: compare first */
        if (start < -file->size) return;
        start += file->size;
    }
    if (start > file->size) return;
    if (size < 0) size = file->size - start;
    if (size > file->size - start) return;
    int64_t position = allocate(shared, size);
    if (position < 0) {
        job->statuses[i] = READ_NO_SPACE;
        job->sizes[i] = size;
        return;
    }
    job->statuses[i] = fill_from(file->fd, job->slab + position, start, size);
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
        Open file = {-1, READ_OK, 0, -1};
        if (i >= n) return NULL;
        for (; i < last; i++) {
            if (file.key < 0 || !same_key(shared->job, file.key, i)) open_file(shared, i, &file);
            read_one(shared, i, &file);
        }
        close_file(&file);
    }
}

int64_t read_files(const ReadFiles *job) {
    Shared shared = {.job = job};
    pthread_t threads[MAX_THREADS];
    int wanted = job->threads < MAX_THREADS ? job->threads : MAX_THREADS, started = 0;
    if (wanted > job->n) wanted = (int)job->n;
    shared.run = wanted > 1 ? job->n / (wanted * 4) : job->n;
    if (wanted > 1 && shared.run > 64) shared.run = 64;
    if (shared.run < 1) shared.run = 1;
    shared.root = open(job->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (shared.root < 0) {
        int32_t status = status_of_errno(errno);
        for (int64_t i = 0; i < job->n; i++) {
            job->positions[i] = job->sizes[i] = -1;
            job->statuses[i] = status;
        }
        return 0;
    }
    while (started < wanted - 1 && !pthread_create(&threads[started], NULL, work, &shared)) started++;
    work(&shared);
    for (int t = 0; t < started; t++) pthread_join(threads[t], NULL);
    close(shared.root);
    int64_t end = atomic_load(&shared.end);
    return end < job->slab_size ? end : job->slab_size;
}
