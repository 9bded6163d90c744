// The public names.

export { backward, noGrad } from './autograd/index.js'
export * as data from './data/index.js'
export { EspalierError } from './native/index.js'
export * as nn from './nn/index.js'
export * as ops from './ops/index.js'
export * as optim from './optim/index.js'
export * as prune from './prune/index.js'
export * as quant from './quant/index.js'
export * as qnn from './quant/qnn.js'
export { arange, defaultGenerator, full, Generator, manualSeed, ones, rand, randn, Tensor, tensor, zeros } from './tensor/index.js'
export * from './train/index.js'
