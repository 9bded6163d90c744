export { CubicSL, type CubicSLOptions } from './cubicSL.js'
export { type SparsityGroup, type SparsityOptions, WeightNormSparsifier, type WeightNormSparsifierOptions } from './weightNormSparsifier.js'
