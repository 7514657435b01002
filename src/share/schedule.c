#include "schedule.h"

#include <math.h>

/* With automatic chunks a rank takes from the common range what it will do in COMMON seconds, into its own, and at most
   PRIVATE items from there at a time, or what it will do in SHORT: whatever else it has, idle ranks may take. */
#define COMMON 1e-3
#define SHORT 20e-6
#define PRIVATE 8

void lm_startschedule(lm_schedule *s, lm_order order, int64_t n, int64_t chunk)
{
    int64_t least = n / LM_GRANULES + 1;
    s->n = n;
    s->order = order;
    s->automatic = chunk == 0 || order == LM_STATIC;
    s->granule = s->automatic ? 1 : chunk;
    if (s->granule < least) s->granule = least;
    s->chunks = n / s->granule + (n % s->granule > 0);
    s->next = s->rank;
    s->takes = s->shares = 1;
}

/* The granules of n places from this one on, when each place has an equal part. */
static lm_range schedule_part(const lm_schedule *s, int place, int n)
{
    double each = (double)s->chunks / s->size;
    return (lm_range){(uint32_t)llround(each * place) + 1, (uint32_t)llround(each * (place + n)) + 1};
}

static lm_range initial_common(const lm_schedule *s)
{
    return s->order == LM_DYNAMIC ? schedule_part(s, s->first, s->ranks) : lm_nothing;
}

static lm_range initial_own(const lm_schedule *s, int slot)
{
    if (s->order == LM_STATIC) return schedule_part(s, s->rank, 1);
    return s->order == LM_BLOCKS ? schedule_part(s, s->first + slot, 1) : lm_nothing;
}

/* Takes up to n granules of the common range, and no more than a fair part of what is left there. */
static lm_range schedule_common(lm_schedule *s, uint32_t n)
{
    lm_range common = initial_common(s);
    uint32_t fair = lm_length(lm_left(&s->sheet->common, common)) / (2 * (uint32_t)s->ranks) + 1;
    return lm_takefront(&s->sheet->common, common, n < fair ? n : fair);
}

/* Takes half of what the rank of this node has that has most. */
static lm_range schedule_steal(lm_schedule *s)
{
    for (;;) {
        int victim = -1;
        uint32_t most = 0;
        for (int i = 0; i < s->ranks; i++) {
            uint32_t left = lm_length(lm_left(&s->sheet->own[i], initial_own(s, i)));
            if (left > most) {
                most = left;
                victim = i;
            }
        }
        if (victim < 0) return lm_nothing;
        lm_range r = lm_takehalf(&s->sheet->own[victim], initial_own(s, victim));
        if (lm_length(r)) return r;
    }
}

bool lm_stockup(lm_schedule *s, lm_range r)
{
    if (lm_length(r) <= (uint32_t)s->takes) return false;
    lm_putrange(&s->sheet->own[s->slot], r);
    return true;
}

lm_range lm_nextrange(lm_schedule *s)
{
    if (s->order == LM_CYCLIC) {
        if (s->next >= s->chunks) return lm_nothing;
        lm_range r = {(uint32_t)s->next + 1, (uint32_t)s->next + 2};
        s->next += s->size;
        return r;
    }
    for (;;) {
        lm_range r = lm_takefront(&s->sheet->own[s->slot], initial_own(s, s->slot), (uint32_t)s->takes);
        if (lm_length(r) || s->order == LM_STATIC) return r;
        r = schedule_common(s, (uint32_t)s->shares);
        if (!lm_length(r)) r = schedule_steal(s);
        if (!lm_stockup(s, r)) return r;
    }
}

lm_range lm_giverange(lm_schedule *s)
{
    lm_range r = schedule_common(s, UINT32_MAX);
    return lm_length(r) ? r : schedule_steal(s);
}

void lm_adapt(lm_schedule *s, int64_t items, double seconds)
{
    if (!s->automatic) return;
    bool fixed = s->order == LM_STATIC;
    double each = seconds / ((double)items / (double)s->granule) + 1e-10, most = (fixed ? COMMON : SHORT) / each;
    s->takes = fmax(1, fmin(most, fixed ? 4 * s->takes : fmin(2 * s->takes, PRIVATE)));
    s->shares = fmax(1, fmin(fmin(COMMON / each, 4 * s->shares), UINT32_MAX / 2));
}

bool lm_holdsitems(const lm_schedule *s)
{
    return s->order == LM_DYNAMIC && lm_length(lm_left(&s->sheet->own[s->slot], initial_own(s, s->slot))) > 0;
}
