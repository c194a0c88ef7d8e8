#!/usr/bin/env bash
# Compilers, linkers and make -j4 inside as natively (H2).
cd "$(dirname "$0")/.." && . tests/lib/compare.sh
same 'gcc under make -j4' 'for i in 1 2 3 4 5; do printf "int f%d(int x)\n{\n\treturn x * %d;\n}\n" $i $i > f$i.c; done
	printf "#include <stdio.h>\nint f1(int), f2(int), f3(int), f4(int), f5(int);\nint main(void)\n{\n\tprintf(\"%%d\\\\n\", f1(1) + f2(2) + f3(3) + f4(4) + f5(5));\n\treturn 7;\n}\n" > main.c
	printf "prog: f1.o f2.o f3.o f4.o f5.o main.o\n\t@gcc -o \$@ \$^\n%%.o: %%.c\n\t@gcc -O2 -Wall -c -o \$@ \$<\n" > Makefile
	make -j4 && ./prog; echo $?; make; gcc -c missing.c'
same 'g++' 'printf "#include <iostream>\n#include <map>\n#include <stdexcept>\nint main()\n{\n\tstd::map<int, int> m;\n\tfor (int i = 0; i < 1000; i++)\n\t\tm[i * 7 %% 101] += i;\n\ttry { throw std::runtime_error(\"caught\"); } catch (std::exception &e) { std::cout << e.what() << m[5] << std::endl; }\n}\n" > a.cc; g++ -O1 a.cc -o a && ./a'
finish
