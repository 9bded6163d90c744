export { fans } from './fans.js'
export { constant, type Drawn, normal, uniform } from './fill.js'
export { calculateGain, type Nonlinearity } from './gain.js'
export { type KaimingOptions, kaimingNormal, kaimingUniform, type XavierOptions, xavierNormal, xavierUniform } from './scaled.js'
