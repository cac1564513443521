/* channel_sum.c */
