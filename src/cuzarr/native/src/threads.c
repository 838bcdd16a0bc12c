/* Threads that help with a call, kept between calls.
 *
 * 1. A call offers seats; idle threads take them, and new threads are made while there are fewer
 *    than the call could use. The calling thread works too.
 * 2. When the calling thread finds no more work it withdraws the seats that nobody took, so that it
 *    never waits for a thread that has not even woken up, then waits for those that help.
 * 3. A forked child starts without threads. They get no signals: those are the interpreter's.
 */
#define _GNU_SOURCE
#include "native.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 64
#define ASK_MS 100 /* between two looks for signals */

typedef struct Call {
    void *(*work)(void *);
    void *shared;
    int seats, helping;
    pthread_cond_t done;
    struct Call *next;
} Call;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t offered = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static Call *calls;
static int helpers;

static void after_fork(void) {
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&offered, NULL);
    calls = NULL;
    helpers = 0;
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, after_fork);
}

static Call *with_seat(void) {
    Call *call = calls;
    while (call && call->seats == 0) call = call->next;
    return call;
}

static void *help(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        Call *call;
        while (!(call = with_seat())) pthread_cond_wait(&offered, &lock);
        call->seats--;
        call->helping++;
        pthread_mutex_unlock(&lock);
        call->work(call->shared);
        pthread_mutex_lock(&lock);
        if (--call->helping == 0) pthread_cond_signal(&call->done);
    }
    return NULL;
}

static void make_helpers(int wanted) {
    sigset_t all, before;
    pthread_attr_t detached;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    while (helpers < wanted && !pthread_create(&thread, &detached, help, NULL)) helpers++;
    pthread_attr_destroy(&detached);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void run_threads(int wanted, void *(*work)(void *), void *shared) {
    Call call = {.work = work, .shared = shared, .done = PTHREAD_COND_INITIALIZER};
    if (wanted > MAX_THREADS) wanted = MAX_THREADS;
    if (wanted <= 1) {
        work(shared);
        return;
    }
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
    if (helpers < wanted - 1) make_helpers(wanted - 1);
    call.seats = wanted - 1;
    call.next = calls;
    calls = &call;
    for (int s = 0; s < call.seats; s++) pthread_cond_signal(&offered);
    pthread_mutex_unlock(&lock);
    work(shared);
    pthread_mutex_lock(&lock);
    for (Call **at = &calls; *at; at = &(*at)->next) {
        if (*at == &call) {
            *at = call.next;
            break;
        }
    }
    while (call.helping) pthread_cond_wait(&call.done, &lock);
    pthread_mutex_unlock(&lock);
}

static int64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The thread of the process that the interpreter shows signals to. */
static int is_main_thread(void) {
#if defined(__linux__)
    return getpid() == (pid_t)syscall(SYS_gettid);
#elif defined(__APPLE__)
    return pthread_main_np();
#else
    return 1;
#endif
}

/* On another thread to ask would find none, and may not return: at the end of the process the
 * interpreter ends threads that want its lock, in the middle of a call whose stack others use. */
void signals_begin(Signals *signals, int (*interrupted)(void)) {
    signals->interrupted = is_main_thread() ? interrupted : NULL;
    signals->caller = pthread_self();
    signals->asked = milliseconds();
    atomic_init(&signals->stop, 0);
}

int signals_stop(Signals *signals) {
    if (atomic_load_explicit(&signals->stop, memory_order_relaxed)) return 1;
    if (!signals->interrupted || !pthread_equal(pthread_self(), signals->caller)) return 0;
    int64_t now = milliseconds();
    if (now - signals->asked < ASK_MS) return 0;
    signals->asked = now;
    if (!signals->interrupted()) return 0;
    atomic_store(&signals->stop, 1);
    return 1;
}
