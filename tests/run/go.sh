# needs: go
# A program of a runtime that does without the C library: own stacks, threads by clone, preemption of
# its threads by a signal, faults that become panics.
export HOME=$PWD GOCACHE=$PWD/cache GOFLAGS=-mod=mod GO111MODULE=off
cat >m.go <<'E'
package main

import ("fmt"; "net"; "os"; "os/exec"; "os/signal"; "sync"; "time")

func fault() {
	defer func() { fmt.Println(recover()) }()
	var nowhere *int
	*nowhere = 1
}

func main() {
	var wait sync.WaitGroup
	var mutex sync.Mutex
	n := 0
	for i := 0; i < 100; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for j := 0; j < 100; j++ { mutex.Lock(); n++; mutex.Unlock() }
		}()
	}
	wait.Wait()
	fmt.Println(n)
	go func() { for { n++ } }()
	time.Sleep(50 * time.Millisecond)
	out, err := exec.Command("echo", "a child").Output()
	fmt.Print(string(out), err, "\n")
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	self, _ := os.FindProcess(os.Getpid())
	self.Signal(os.Interrupt)
	fmt.Println(<-c)
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	go func() { k, _ := l.Accept(); b := make([]byte, 5); k.Read(b); k.Write(b); k.Close() }()
	k, _ := net.Dial("tcp", l.Addr().String())
	k.Write([]byte("hello"))
	b := make([]byte, 5)
	k.Read(b)
	fmt.Println(string(b))
	fault()
}
E
go build -o m m.go && ./m
echo $?
rm -rf cache m
