/* Code, data, zeros, a thread's variable and a function of the kernel. */
extern int kernel_function(void);
int table[1000];
int answer = 42;
__thread int mine;
int main(void) { return kernel_function() + table[1] + answer + mine; }
