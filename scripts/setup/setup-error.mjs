/** Something is missing that only the person can give; the message is all they need to read. */
export class SetupError extends Error {
  /**
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(message, options) {
    super(message, options);
    this.name = 'SetupError';
  }
}
