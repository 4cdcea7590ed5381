/* In the kernel: replaces each letter of `msg` by the one that is 13 places on in the alphabet. */
void rot13(char *msg);
