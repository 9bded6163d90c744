// The public names.

export { type BackwardOptions, backward, noGrad } from './autograd/index.js'
export { type CompileOptions, compile, type ExplainedStep, Explanation, explain, Program, type ProgramOptions } from './compile/index.js'
export * as data from './data/index.js'
export * from './estimators/index.js'
export * as graph from './graph/index.js'
export * as kernels from './kernels/index.js'
export * as cuda from './native/gpu.js'
export { type Device, type DeviceInfo, devices, type ErrorCode, EspalierError } from './native/index.js'
export * as nn from './nn/index.js'
export * as ops from './ops/index.js'
export * as optim from './optim/index.js'
export * as prune from './prune/index.js'
export * as quant from './quant/index.js'
export * as qnn from './quant/qnn.js'
export {
  arange,
  type DType,
  defaultGenerator,
  full,
  Generator,
  type GeneratorState,
  manualSeed,
  type Nested,
  type NormalOptions,
  ones,
  type Quantisation,
  type RandomOptions,
  rand,
  randn,
  type Shape,
  scope,
  Tensor,
  type TensorOptions,
  tensor,
  type UniformOptions,
  zeros,
} from './tensor/index.js'
export * from './train/index.js'
