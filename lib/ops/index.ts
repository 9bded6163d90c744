export * from './relu.js'
