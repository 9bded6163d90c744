export { ConstantSparsity } from './constantSparsity.js'
export { PolynomialDecay } from './polynomialDecay.js'
export type { PruningSchedule } from './pruningSchedule.js'
