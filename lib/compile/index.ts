export { type CompileOptions, compile, explain } from './compile.js'
export { type ExplainedStep, Explanation } from './explanation.js'
export { Program, type ProgramOptions } from './program.js'
