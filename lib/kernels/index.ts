// Kernels on plain typed arrays, for programs that bring their own tensors.
export { applyMask } from './applyMask.js'
export type { ConvPlanes, ConvSteps } from './convGeometry.js'
export {
  type CodeArray,
  type IntegerKernelName,
  type IntegerProductOptions,
  IntegerSparseMatrix,
  type IntegerSparseMatrixOptions,
} from './integerSparseMatrix.js'
export { type MaskedConvSizes, maskedConv2d } from './maskedConv2d.js'
export { type MaskedOptions, maskedMatmul } from './maskedMatmul.js'
export { SparseConv2d, type SparseConv2dOptions } from './sparseConv2d.js'
export { type Format, type ProductOptions, SparseMatrix, type SparseMatrixOptions } from './sparseMatrix.js'
export { topkL1 } from './topkL1.js'
export type { SampleLayout } from './vectors.js'
