/* grad_weight.c */
