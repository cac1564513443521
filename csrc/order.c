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

int64_t fdl_leading(const char *x, int kind, int64_t n, int64_t step, int greatest, int64_t k,
                    int64_t *room, int64_t *places)
{
    int32_t *narrow = (int32_t *)room;
    int32_t flip = greatest ? -1 : 0;
    int64_t numbers = n;
    for (int i = 0; i < LANES; i++) /* read, but not counted */
        if (kind == FDL_KEY_F64 || kind == FDL_KEY_I64)
            room[n + i] = 0;
        else
            narrow[n + i] = 0;
    switch (kind) {
    case FDL_KEY_F32:
        for (int64_t i = 0; i < n; i++, x += step) {
            float value = *(const float *)x + 0.0f; /* -0.0 becomes 0.0 */
            int32_t bits;
            memcpy(&bits, &value, 4);
            bits ^= (bits >> 31) & INT32_MAX;
            numbers -= value != value;
            narrow[i] = (value != value ? INT32_MAX : bits) ^ flip;
        }
        break;
    case FDL_KEY_F64:
        for (int64_t i = 0; i < n; i++, x += step) {
            double value = *(const double *)x + 0.0;
            int64_t bits;
            memcpy(&bits, &value, 8);
            bits ^= (bits >> 63) & INT64_MAX;
            numbers -= value != value;
            room[i] = (value != value ? INT64_MAX : bits) ^ flip;
        }
        break;
    case FDL_KEY_I64:
        for (int64_t i = 0; i < n; i++, x += step) room[i] = *(const int64_t *)x ^ flip;
        break;
    case FDL_KEY_I32:
        for (int64_t i = 0; i < n; i++, x += step) narrow[i] = *(const int32_t *)x ^ flip;
        break;
    default:
        for (int64_t i = 0; i < n; i++, x += step) narrow[i] = *(const uint8_t *)x ^ flip;
    }
    if (kind == FDL_KEY_F64 || kind == FDL_KEY_I64)
        lead_wide(room, n, k, places);
    else
        lead_narrow(narrow, n, k, places);
    return numbers;
}
