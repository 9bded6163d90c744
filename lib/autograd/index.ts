export * from './define.js'
export * from './tape.js'
