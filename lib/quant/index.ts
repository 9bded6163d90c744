export { type A2QMethod, type A2QOptions, A2QQuantiser, a2qPenalty, epInit } from './accumulators/a2q.js'
export { type AccumulatorBound, accumulatorBound, completeBound, witness } from './accumulators/bounds.js'
export { Budget, BudgetCodes, type BudgetOptions, BudgetQuantiser, projectBudgets } from './accumulators/budget.js'
export { type AccumulatorOptions, a2qCap, a2qPlusCap } from './accumulators/caps.js'
export { Certificate, type CertifiedLayer, certify } from './accumulators/certificate.js'
export type { CertificateFile, StatedLayer } from './accumulators/certificateFile.js'
export { type RefreshOptions, refreshFanIn, refreshingFanIn } from './accumulators/fanIn.js'
export { l1Projection } from './accumulators/l1Projection.js'
export { fanInWidth, type LayerCapOptions, layerCap, layerCapIsSafe, layerCapMask, type NeuronCodes, safeFanIn } from './accumulators/layerCap.js'
export type { AccumulatorMethodName } from './accumulators/methods.js'
export { type DataTypes, dataTypeBound, type InputCodes, statedWidth, weightBound } from './accumulators/normBounds.js'
export { type BudgetCodeOptions, type BudgetedSum, budgetCodes, projectSigns, type SignBudgets, signBudgets } from './accumulators/signBudgets.js'
export { type ActivationOptions, ActivationQuantiser } from './activations.js'
export type { BiasOptions } from './bias.js'
export * as codes from './codes.js'
export { type IntegerNetworkOptions, integerNetwork } from './execution/integerNetwork.js'
export type { Overflow, Overflows } from './execution/overflows.js'
export {
  type CodesStep,
  IntegerProgram,
  type IntegerRun,
  type ProductStep,
  type RunOptions,
  type SelectStep,
  type Step,
  type SumStep,
} from './execution/program.js'
export type { GeometryFile, ProgramFile, StepFile } from './execution/programFile.js'
export { type OverflowRule, type RegisterOptions, sumInRegister } from './execution/registers.js'
export type { StepTable } from './execution/stepTable.js'
export { freeze } from './freeze.js'
export { type AccumulatorObserver, type IntegerLayer, type IntegerSource, inIntegers, integerLayers } from './integer.js'
export { type IntegerOptions, type IntegerUnits, integerGroups, startIntegers } from './integerUnits.js'
export { type AxeLayer, type AxeOptions, axe } from './postTraining/axe.js'
export type { Calibration } from './postTraining/calibration.js'
export { equalise } from './postTraining/equalise.js'
export { type FoldedPair, type FoldOptions, foldBatchNorm } from './postTraining/foldBatchNorm.js'
export { type Observer, type ObserverName, observers, percentile } from './postTraining/observers/index.js'
export { type LayerWidths, type QuantiseOptions, quantise } from './postTraining/quantise.js'
export { type SearchOptions, searchWidths, type WidthChoice, type WidthSearch } from './postTraining/searchWidths.js'
export { Quantiser, type QuantiserParts } from './quantiser.js'
export { QuantTensor } from './quantTensor.js'
export { bitsFor, type CodeOptions, codeOfThreshold, type IntegerRange, integerRange, rangeOf } from './range.js'
export * as roundings from './roundings.js'
export * as scales from './scales/index.js'
export * as statistics from './statistics.js'
export type { QuantisedWeightOptions } from './weightOptions.js'
export { WeightQuantiser, type WeightQuantiserOptions } from './weights.js'
export { interval, LearnedZeroPoint, type ZeroPoint } from './zeroPoint.js'
