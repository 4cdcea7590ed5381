/* Uses up the kernel's stack. */
long fall(long n);
long fall(long n)
{
	volatile long deep[32];

	deep[n & 31] = n;
	return n ? fall(n + 1) + deep[n & 31] : 0;
}
