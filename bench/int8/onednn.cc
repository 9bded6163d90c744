// oneDNN's product of uint8 by int8 in int32.
#include "support/onednn_matmul.h"

int main(int count, char** arguments) { return serve_matmul<uint8_t, int8_t, int32_t>(count, arguments); }
