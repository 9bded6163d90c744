// Kernels on plain typed arrays, for programs that bring their own tensors.
export { applyMask } from './applyMask.js'
export { type Format, type ProductOptions, type SampleLayout, SparseMatrix, type SparseMatrixOptions } from './sparseMatrix.js'
export { topkL1 } from './topkL1.js'
