/** Begins to count: milliseconds of processor time since then. What work takes, whatever else the machine does meanwhile. */
export function startWork(): () => number {
  const start = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(start)
    return (user + system) / 1000
  }
}
