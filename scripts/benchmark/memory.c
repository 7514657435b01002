#include <mpi.h>
#include <stdio.h>

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    double kilobytes;
    while (fgets(line, sizeof line, status)) {
        if (sscanf(line, "VmRSS: %lf", &kilobytes) == 1) printf("a rank, resident\t%g\n", kilobytes / 1024);
    }
    MPI_Finalize();
}
