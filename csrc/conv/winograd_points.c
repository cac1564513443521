/* winograd_points.c: the 1-d transforms of Winograd's algorithm. Not a rung: shared by winograd.c
 * (forward and input gradient) and winograd_grad.c (weight gradient).
 *
 * m outputs of a filter of 3 taps are products of polynomials, computed from their values at m + 1
 * points and infinity: m + 2 multiplications where the definition has 3 m.
 *
 *      y = A^T [ (G g) . (B^T d) ]       d: m + 2 inputs, g: 3 taps, y: m outputs
 *
 * In two dimensions each transform is applied along rows and along columns, and the (m + 2)^2
 * products serve m^2 outputs: 2.25 multiplications an output for m = 4 and 4 for m = 2, not 9.
 *
 * Points for m = 2: 0, 1, -1. For m = 4: 0, 1, -1, 2, -1/2. That is not the textbook's 0, 1, -1, 2,
 * -2, whose transforms have larger entries: here the rounding error is a third, for no more work
 * (Barabasz, Anderson, Soodhalter and Gregg, 2020, search for points).
 *
 * The gradients are the transposed maps: with e the gradient of y,
 *
 *      dg = G^T [ (A e) . (B^T d) ]
 *
 * where the sum over tiles is taken before G^T.
 *
 * All functions take m as a constant, read in[0 ...] and write out[0], out[step], ...
 */
#define WINOGRAD_MAX 6                         /* m + 2, at most */

/* B^T: m + 2 values to m + 2 */
INLINE void F(winograd_data)(const int m, const V *d, V *out, const int step)
{
    if (m == 2) {
        out[0] = d[0] - d[2];
        out[step] = d[1] + d[2];
        out[2 * step] = d[2] - d[1];
        out[3 * step] = d[1] - d[3];
    } else {
        const V a = d[1] - d[3], b = d[4] - d[2], c = d[4] + d[1] - (REAL)2.5 * d[3];
        out[0] = d[0] + d[4] + (REAL)1.5 * a - 2 * d[2];
        out[step] = d[4] - d[1] - (REAL)2.5 * d[2] - (REAL)0.5 * d[3];
        out[2 * step] = c + (REAL)0.5 * d[2];
        out[3 * step] = b - (REAL)0.5 * a;
        out[4 * step] = b + 2 * a;
        out[5 * step] = d[5] + d[1] - (REAL)1.5 * b - 2 * d[3];
    }
}

/* A^T: m + 2 values to m */
INLINE void F(winograd_result)(const int m, const V *p, V *out, const int step)
{
    const V a = p[1] + p[2], b = p[1] - p[2];
    if (m == 2) {
        out[0] = p[0] + a;
        out[step] = b - p[3];
    } else {
        out[0] = p[0] + a + (p[3] + p[4]);
        out[step] = b + 2 * p[3] - (REAL)0.5 * p[4];
        out[2 * step] = a + 4 * p[3] + (REAL)0.25 * p[4];
        out[3 * step] = b + 8 * p[3] - (REAL)0.125 * p[4] + p[5];
    }
}

/* G: 3 values to m + 2 */
INLINE void F(winograd_filter)(const int m, const V *g, V *out, const int step)
{
    const V a = g[0] + g[2];
    out[0] = g[0];
    if (m == 2) {
        out[step] = (REAL)0.5 * (a + g[1]);
        out[2 * step] = (REAL)0.5 * (a - g[1]);
        out[3 * step] = g[2];
    } else {
        const REAL third = (REAL)1 / 3, fifteenth = (REAL)1 / 15;
        out[step] = -third * (a + g[1]);
        out[2 * step] = third * (a - g[1]);
        out[3 * step] = fifteenth * (g[0] + 2 * g[1] + 4 * g[2]);
        out[4 * step] = -4 * fifteenth * (4 * g[0] - 2 * g[1] + g[2]);
        out[5 * step] = g[2];
    }
}

/* A: m values to m + 2 */
INLINE void F(winograd_result_grad)(const int m, const V *e, V *out, const int step)
{
    out[0] = e[0];
    if (m == 2) {
        out[step] = e[0] + e[1];
        out[2 * step] = e[0] - e[1];
        out[3 * step] = -e[1];
    } else {
        const V a = e[0] + e[2], b = e[1] + e[3];
        out[step] = a + b;
        out[2 * step] = a - b;
        out[3 * step] = e[0] + 2 * e[1] + 4 * e[2] + 8 * e[3];
        out[4 * step] = e[0] - (REAL)0.5 * e[1] + (REAL)0.25 * e[2] - (REAL)0.125 * e[3];
        out[5 * step] = e[3];
    }
}

/* G^T: m + 2 values to 3 */
INLINE void F(winograd_filter_grad)(const int m, const V *u, V *out, const int step)
{
    if (m == 2) {
        const V a = (REAL)0.5 * (u[1] + u[2]);
        out[0] = u[0] + a;
        out[step] = (REAL)0.5 * (u[1] - u[2]);
        out[2 * step] = a + u[3];
    } else {
        const REAL third = (REAL)1 / 3, fifteenth = (REAL)1 / 15;
        const V a = third * (u[2] - u[1]), b = fifteenth * u[3], c = fifteenth * u[4];
        out[0] = u[0] + a + b - 16 * c;
        out[step] = 2 * b + 8 * c - third * (u[1] + u[2]);
        out[2 * step] = a + 4 * b - 4 * c + u[5];
    }
}
