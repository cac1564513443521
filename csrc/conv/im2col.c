/* im2col.c */
