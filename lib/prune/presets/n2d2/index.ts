export { type PruneCellParameters, type PruneFiller, type PruneMode, pruneCellParameters } from './parameters.js'
export { PruneCell, type PruneCellOptions, type PruneCellState } from './pruneCell.js'
