/* winograd_points.c: the 1-d transforms of Winograd's algorithm. Not a rung: shared by winograd.c
 * (forward and input gradient) and winograd_grad.c (weight gradient).
 *
 * m outputs of a filter of r taps are products of polynomials, computed from their values at a - 1
 * points and infinity: a = m + r - 1 multiplications where the definition has r m.
 *
 *      y = A^T [ (G g) . (B^T d) ]       d: a inputs, g: r taps, y: m outputs
 *
 * In two dimensions each transform is applied along rows and along columns, and the a^2 products
 * serve m^2 outputs.
 *
 *      a   m   r   points                multiplications an output
 *      4   2   3   0, 1, -1              4, not 9
 *      5   4   2   0, -1, 2, 1/2         1.56, not 4
 *      6   4   3   0, 1, -1, 2, -1/2     2.25, not 9
 *      6   2   5   the same              9, not 25
 *
 * These last are not the textbook's 0, 1, -1, 2, -2, whose transforms have larger entries: here the
 * rounding error is a third, for no more work (Barabasz, Anderson, Soodhalter and Gregg, 2020,
 * search for points). With 0, -1, 2, 1/2 it is half that of 0, 1, -1, 2.
 *
 * The gradients are the transposed maps: with e the gradient of y,
 *
 *      dg = G^T [ (A e) . (B^T d) ]
 *
 * where the sum over tiles is taken before G^T.
 *
 * The data's transform depends on the points alone. All functions take a, or m and r, as constants,
 * read in[0 ...] and write out[0], out[step], ...
 */
#define WINOGRAD_MAX 6                         /* a, at most */
#define WINOGRAD_REACH 5                       /* r, at most */

/* B^T: a values to a */
INLINE void F(winograd_data)(const int a, const V *d, V *out, const int step)
{
    if (a == 4) {
        out[0] = d[0] - d[2];
        out[step] = d[1] + d[2];
        out[2 * step] = d[2] - d[1];
        out[3 * step] = d[1] - d[3];
    } else if (a == 5) {
        out[0] = d[0] + d[3] - (REAL)1.5 * (d[1] + d[2]);
        out[step] = d[1] + d[3] - (REAL)2.5 * d[2];
        out[2 * step] = d[3] + (REAL)0.5 * (d[2] - d[1]);
        out[3 * step] = d[3] - d[2] - 2 * d[1];
        out[4 * step] = d[1] + d[4] - (REAL)1.5 * (d[2] + d[3]);
    } else {
        const V s = d[1] - d[3], b = d[4] - d[2], c = d[4] + d[1] - (REAL)2.5 * d[3];
        out[0] = d[0] + d[4] + (REAL)1.5 * s - 2 * d[2];
        out[step] = d[4] - d[1] - (REAL)2.5 * d[2] - (REAL)0.5 * d[3];
        out[2 * step] = c + (REAL)0.5 * d[2];
        out[3 * step] = b - (REAL)0.5 * s;
        out[4 * step] = b + 2 * s;
        out[5 * step] = d[5] + d[1] - (REAL)1.5 * b - 2 * d[3];
    }
}

/* A^T: a values to m */
INLINE void F(winograd_result)(const int m, const int r, const V *p, V *out, const int step)
{
    const int a = m + r - 1;
    const V s = p[1] + p[2], b = p[1] - p[2];
    if (a == 4) {
        out[0] = p[0] + s;
        out[step] = b - p[3];
    } else if (a == 5) {
        out[0] = p[0] + s + p[3];
        out[step] = 2 * p[2] - p[1] + (REAL)0.5 * p[3];
        out[2 * step] = p[1] + 4 * p[2] + (REAL)0.25 * p[3];
        out[3 * step] = 8 * p[2] - p[1] + (REAL)0.125 * p[3] + p[4];
    } else {
        out[0] = p[0] + s + (p[3] + p[4]);
        out[step] = b + 2 * p[3] - (REAL)0.5 * p[4];
        if (m == 2) {
            out[step] += p[5];
            return;
        }
        out[2 * step] = s + 4 * p[3] + (REAL)0.25 * p[4];
        out[3 * step] = b + 8 * p[3] - (REAL)0.125 * p[4] + p[5];
    }
}

/* G: r values to a */
INLINE void F(winograd_filter)(const int m, const int r, const V *g, V *out, const int step)
{
    const int a = m + r - 1;
    out[0] = g[0];
    if (a == 4) {
        const V s = g[0] + g[2];
        out[step] = (REAL)0.5 * (s + g[1]);
        out[2 * step] = (REAL)0.5 * (s - g[1]);
        out[3 * step] = g[2];
    } else if (a == 5) {
        const REAL ninth = (REAL)1 / 9;
        out[step] = 2 * ninth * (g[1] - g[0]);
        out[2 * step] = ninth * (g[0] + 2 * g[1]);
        out[3 * step] = -4 * ninth * (2 * g[0] + g[1]);
        out[4 * step] = g[1];
    } else {
        const REAL third = (REAL)1 / 3, fifteenth = (REAL)1 / 15;
        V s = g[0] + g[2], b = g[1], at2 = g[0] + 2 * g[1] + 4 * g[2];
        V half = 4 * g[0] - 2 * g[1] + g[2];                            /* 4 times that at -1/2 */
        if (r == 5) {
            s += g[4], b += g[3], at2 += 8 * g[3] + 16 * g[4];
            half += (REAL)0.25 * g[4] - (REAL)0.5 * g[3];
        }
        out[step] = -third * (s + b);
        out[2 * step] = third * (s - b);
        out[3 * step] = fifteenth * at2;
        out[4 * step] = -4 * fifteenth * half;
        out[5 * step] = g[r - 1];
    }
}

/* A: m values to a */
INLINE void F(winograd_result_grad)(const int m, const int r, const V *e, V *out, const int step)
{
    const int a = m + r - 1;
    out[0] = e[0];
    if (a == 4) {
        out[step] = e[0] + e[1];
        out[2 * step] = e[0] - e[1];
        out[3 * step] = -e[1];
    } else if (a == 5) {
        out[step] = e[0] + e[2] - (e[1] + e[3]);
        out[2 * step] = e[0] + 2 * e[1] + 4 * e[2] + 8 * e[3];
        out[3 * step] = e[0] + (REAL)0.5 * e[1] + (REAL)0.25 * e[2] + (REAL)0.125 * e[3];
        out[4 * step] = e[3];
    } else if (m == 2) {
        out[step] = e[0] + e[1];
        out[2 * step] = e[0] - e[1];
        out[3 * step] = e[0] + 2 * e[1];
        out[4 * step] = e[0] - (REAL)0.5 * e[1];
        out[5 * step] = e[1];
    } else {
        const V s = e[0] + e[2], b = e[1] + e[3];
        out[step] = s + b;
        out[2 * step] = s - b;
        out[3 * step] = e[0] + 2 * e[1] + 4 * e[2] + 8 * e[3];
        out[4 * step] = e[0] - (REAL)0.5 * e[1] + (REAL)0.25 * e[2] - (REAL)0.125 * e[3];
        out[5 * step] = e[3];
    }
}

/* G^T: a values to r */
INLINE void F(winograd_filter_grad)(const int m, const int r, const V *u, V *out, const int step)
{
    const int a = m + r - 1;
    if (a == 4) {
        const V s = (REAL)0.5 * (u[1] + u[2]);
        out[0] = u[0] + s;
        out[step] = (REAL)0.5 * (u[1] - u[2]);
        out[2 * step] = s + u[3];
    } else if (a == 5) {
        const REAL ninth = (REAL)1 / 9;
        out[0] = u[0] + ninth * (u[2] - 2 * u[1] - 8 * u[3]);
        out[step] = u[4] + 2 * ninth * (u[1] + u[2] - 2 * u[3]);
    } else {
        const REAL third = (REAL)1 / 3, fifteenth = (REAL)1 / 15;
        const V s = third * (u[2] - u[1]), b = fifteenth * u[3], c = fifteenth * u[4];
        out[0] = u[0] + s + b - 16 * c;
        out[step] = 2 * b + 8 * c - third * (u[1] + u[2]);
        out[2 * step] = s + 4 * b - 4 * c;
        if (r == 5) {
            out[3 * step] = 8 * b + 2 * c - third * (u[1] + u[2]);
            out[4 * step] = s + 16 * b - c;
        }
        out[(r - 1) * step] += u[5];
    }
}
