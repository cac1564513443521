/* order.c: the first of few elements in their order, or all of them. Baseline code.
 *
 * Elements become integers that are in the same order, equal for equal ones and the greatest for
 * NaN. Of up to ALL of them the place of each is counted, which takes n * n comparisons but no
 * branch that could be guessed wrong; of more the first few are found by insertion.
 */
#include "fastdl.h"
#include <string.h>

enum { ALL = FDL_LEADING, LANES = 8 };

#define LEAD(T, NAME)                                                                              \
    static void NAME(const T *key, int64_t n, int64_t k, int64_t *places)                          \
    {                                                                                              \
        if (n <= ALL) {                                                                            \
            for (int64_t start = 0; start < n; start += LANES) {                                   \
                T before[LANES] = {0}, number[LANES];                                              \
                for (int i = 0; i < LANES; i++) number[i] = (T)(start + i);                        \
                for (T j = 0; j < (T)n; j++)                                                       \
                    for (int i = 0; i < LANES; i++)                                                \
                        before[i] += (key[j] < key[start + i]) |                                   \
                                     ((key[j] == key[start + i]) & (j < number[i]));               \
                for (int64_t i = start; i < n && i < start + LANES; i++)                           \
                    places[before[i - start]] = i;                                                 \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        int64_t count = 0;                                                                         \
        for (int64_t i = 0; i < n; i++) {                                                          \
            if (count < k)                                                                         \
                count++;                                                                           \
            else if (key[i] >= key[places[k - 1]])                                                 \
                continue;                                                                          \
            int64_t j = count - 1;                                                                 \
            for (; j > 0 && key[i] < key[places[j - 1]]; j--) places[j] = places[j - 1];           \
            places[j] = i;                                                                         \
        }                                                                                          \
    }

LEAD(int32_t, lead_narrow)
LEAD(int64_t, lead_wide)

/* The keys of n elements from x on, `step` bytes apart */
#define FLOATS(F, T, MOST, keys)                                                                   \
    for (int64_t i = 0; i < n; i++, x += step) {                                                   \
        F value = *(const F *)x + 0; /* -0.0 becomes 0.0 */                                        \
        T bits;                                                                                    \
        memcpy(&bits, &value, sizeof bits);                                                        \
        bits ^= (bits >> (8 * sizeof bits - 1)) & MOST;                                            \
        numbers -= value != value;                                                                 \
        keys[i] = (value != value ? MOST : bits) ^ flip;                                           \
    }
#define INTEGERS(T, least, keys)                                                                   \
    for (int64_t i = 0; i < n; i++, x += step) keys[i] = (*(const T *)x - (T)(least)) ^ flip

int64_t fdl_leading(const char *x, int kind, int64_t n, int64_t step, int greatest, int64_t k,
                    int64_t *room, int64_t *places)
{
    int32_t *narrow = (int32_t *)room;
    int32_t flip = greatest ? -1 : 0;
    int64_t numbers = n, low = INT64_MAX, high = INT64_MIN;
    if (kind == FDL_KEY_I64) /* mostly places or classes: the keys are narrow if they fit */
        for (int64_t i = 0; i < n; i++) {
            int64_t value = *(const int64_t *)(x + i * step);
            low = value < low ? value : low;
            high = value > high ? value : high;
        }
    const int fits = (uint64_t)high - (uint64_t)low <= INT32_MAX;
    const int wide = kind == FDL_KEY_F64 || (kind == FDL_KEY_I64 && !fits);
    for (int i = 0; i < LANES; i++) /* read, but not counted */
        if (wide)
            room[n + i] = 0;
        else
            narrow[n + i] = 0;
    switch (kind) {
    case FDL_KEY_F32: FLOATS(float, int32_t, INT32_MAX, narrow); break;
    case FDL_KEY_F64: FLOATS(double, int64_t, INT64_MAX, room); break;
    case FDL_KEY_I64:
        if (wide)
            INTEGERS(int64_t, 0, room);
        else
            INTEGERS(int64_t, low, narrow);
        break;
    case FDL_KEY_I32: INTEGERS(int32_t, 0, narrow); break;
    default: INTEGERS(uint8_t, 0, narrow);
    }
    if (wide)
        lead_wide(room, n, k, places);
    else
        lead_narrow(narrow, n, k, places);
    return numbers;
}
