/* cross_entropy.c */
