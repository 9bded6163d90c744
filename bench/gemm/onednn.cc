// oneDNN's product of float32.
#include "support/onednn_matmul.h"

int main(int count, char** arguments) { return serve_matmul<float, float, float>(count, arguments); }
