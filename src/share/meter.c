#include "meter.h"

#include "clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SILENT 2.0 /* seconds before the first line, and between two */
#define EVERY 0.5

static const lm_sheet *metered;
static int ranks, terminal;
static int64_t total;
static const char *call;
static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static bool stopping;

/* mpirun's standard error when it started this process, else this one's own; -1 when that is no terminal. */
static int open_terminal(void)
{
    char path[40], parent[16] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)getppid());
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%15s", parent) != 1) *parent = 0;
        fclose(file);
    }
    if (!strcmp(parent, "mpirun") || !strcmp(parent, "orterun")) snprintf(path, sizeof path, "/proc/%d/fd/2", (int)getppid());
    else if (!strcmp(parent, "orted")) return -1;
    else snprintf(path, sizeof path, "/dev/fd/2");
    int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || isatty(fd)) return fd;
    close(fd);
    return -1;
}

static void write_line(double elapsed)
{
    int64_t done = atomic_load(&metered->elsewhere);
    for (int i = 0; i < ranks; i++) done += atomic_load_explicit(&metered->own[i].done, memory_order_relaxed);
    double rate = (double)done / elapsed;
    char line[160], left[40] = "";
    if (total > 0 && done > 0) {
        double seconds = (double)(total - done) / rate;
        if (seconds < 99) snprintf(left, sizeof left, ", %.0f s left", seconds);
        else if (seconds < 99 * 60) snprintf(left, sizeof left, ", %.0f min left", seconds / 60);
        else snprintf(left, sizeof left, ", %.1f h left", seconds / 3600);
    }
    int n = total < 0 ? snprintf(line, sizeof line, "\rcomm:%s: %lld items done, %.4g a second\033[K", call, (long long)done, rate)
                      : snprintf(line, sizeof line, "\rcomm:%s: %lld of %lld items done (%.0f %%), %.4g a second%s\033[K", call,
                                 (long long)done, (long long)total, 100 * (double)done / (double)(total ? total : 1), rate, left);
    if (write(terminal, line, (size_t)n) < 0) return; /* a terminal that takes nothing now gets the next one */
}

static void *meter_run(void *unused)
{
    (void)unused;
    double began = lm_now();
    bool shown = false;
    pthread_mutex_lock(&lock);
    for (double at = SILENT; !stopping; at += EVERY) {
        double until = began + at;
        struct timespec next = {(time_t)until, (long)((until - (double)(time_t)until) * 1e9)};
        while (!stopping && pthread_cond_timedwait(&changed, &lock, &next) == 0) continue;
        if (stopping) break;
        write_line(lm_now() - began);
        shown = true;
    }
    pthread_mutex_unlock(&lock);
    if (shown && write(terminal, "\r\033[K", 4) < 0) return NULL;
    return NULL;
}

void lm_startmeter(const lm_sheet *sheet, int ranks_there, int64_t items, const char *name)
{
    if (metered || (terminal = open_terminal()) < 0) return;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    metered = sheet;
    ranks = ranks_there;
    total = items;
    call = name;
    stopping = false;
    if (pthread_create(&thread, NULL, meter_run, NULL) == 0) return;
    metered = NULL;
    close(terminal);
}

void lm_stopmeter(const lm_sheet *sheet)
{
    if (!metered || metered != sheet) return;
    pthread_mutex_lock(&lock);
    stopping = true;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&changed);
    close(terminal);
    metered = NULL;
}
