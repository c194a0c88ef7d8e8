# needs: gcc g++ make
for i in 1 2 3 4 5 6; do printf 'int f%d(int x) { return x * %d; }\n' $i $i >f$i.c; done
cat >main.cc <<'X'
#include <iostream>
#include <vector>
extern "C" { int f1(int); int f2(int); int f3(int); int f4(int); int f5(int); int f6(int); }
int main() {
	std::vector<int (*)(int)> fs{f1, f2, f3, f4, f5, f6};
	int s = 0;
	for (auto f : fs) s += f(7);
	try { throw s; } catch (int v) { std::cout << "sum " << v << std::endl; }
}
X
printf 'program: main.o f1.o f2.o f3.o f4.o f5.o f6.o\n\tg++ -o $@ $^\n%%.o: %%.c\n\tgcc -O2 -c -o $@ $<\n%%.o: %%.cc\n\tg++ -O2 -c -o $@ $<\n' >Makefile
make -s -j4 && ./program; echo $?
make -s; echo "again $?"
sha256sum f*.o main.o | cut -c1-64
echo 'int main( {' >bad.c; gcc bad.c; echo $?
