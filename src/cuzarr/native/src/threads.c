/* Threads of one call. They get no signals: those are the interpreter's. */
#define _GNU_SOURCE
#include "native.h"

#include <pthread.h>
#include <signal.h>

#define MAX_THREADS 64

void run_threads(int wanted, void *(*work)(void *), void *shared) {
    pthread_t threads[MAX_THREADS];
    sigset_t all, before;
    int started = 0;
    if (wanted > MAX_THREADS) wanted = MAX_THREADS;
    if (wanted > 1) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        while (started < wanted - 1 && !pthread_create(&threads[started], NULL, work, shared))
            started++;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    work(shared);
    for (int t = 0; t < started; t++) pthread_join(threads[t], NULL);
}
