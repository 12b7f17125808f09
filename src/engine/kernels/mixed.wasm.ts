// Generated from kernels/mixed/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  '5Ve9jxtFFJ/ZD3u9X1577Tv7zh9vF5AQEtI1oEgUeBNFCAoqOpqgJM2ek0PJJRI6RZdIUAUQDRz/AgIh0SGqlJSIvyAFCqKjRIgBfm/WXnudvQsFVeLV' +
  'zc68fe8372vemxPv3bwmhRDyFeuSfcw/caml38XcLedYRKvFgmS0pXn1+u3GtavXDm58YAhp2paQhtl8zW6+f+Pgyq3Lh8L0bhzcun7l/Pzg8v5NIYvV' +
  'Owf7V6/fFMJZcJ0TRgnifji1vjdM41geyTvmjCQ13rJmyoealV/SzERig8EmIzMO37Rm1CRBdq6EJdRDqX6TSZPsLMoT25eeR001FTzIEx4NHsyTk9S5' +
  'wGjvWnfwvvu6Tbz++/znF9gvJ17qqLhmJxPA8nZe7gewX6XK1R+SSdhzg6o+kso/FtVHfQHivX+qj/pSKg+idkZLxS1qYNucnHOGADzrkCcCOhiZxMzE' +
  'Z5knDeb1fvbM1nHzyCg8F8Fz0LpB0TxPQljRBtmgNsjaSgwP2Zh2/rIQmXgj7ewmO9TOWoepR4LNsy6mrd3EzTAjLyfMWzWh6ALaA7SX3bXYPV3jiFoX' +
  'MXEhxJ6Abpi3sEr9Fw3BFrxkCBWDiLW1XENlTXBKglEQ/JJgeovYdrEbYutpF3U5thgQW4wGDxzb4UZsh7RTBnaIwPZo5y+hoiSusam/YZPezT/DsGDD' +
  'MKyrhoFQNQyEdcOot0yX1S5+ZRf/f3DfahckJcVIQgz3JPIu2YKRBEM2LA0qOgRPg6XbsHS2/yxYOoClD8UzEdQu9WmLBupTlFVHVB/1g1TfyqRPHeuY' +
  'QtrSNTakbbwjvAd4E95dvPcoRG7YvKKtzFf3JSMu+GmwRoEkzouXhFwkUIKLWtSkIRdqh/pqV/Agcx4NPZr5q/jWzKwczcnhl4N6C9m2luXq3tLVPWJi' +
  'pGv6V5bRQE0nJ3FRj1rkclWHrzLrULsX5xZy5M51Y/BQt3zdrHzm87ABOgX5c24WabBoGmFNxYtqaJ26al9Di7FjQCEXyogC1irtkaNQa+F5TYjSviY4' +
  'RSg4GhF1CFzIzLS9ZO0TT9eYOggDM6Ewnc7UpVgz7Z3FFINhtg9/BNxbA+3wBsLlz+FLuE43WeikAr7ERJ1ubNmNZq+/tV1QnZbrDYY7u34QtkfjyRSY' +
  'aQTt4hoBTa0TWKAzIwtU0ZmRBRbM6k+JTH0k0Xv1EVAtnIFHRS76nB++tsHlqatT5UffcI/9I/KRmciOFCFti+qjpSOdN7t4++3fq8/a9x3+jsODi9rq' +
  'b+17QmESIfDt4qLBSRjN0zBzkGAdZKjWAdnp4BhHc73YRnZyrngUs0gHZ8dCqsa4n3QhHnMO45QiyYt5ngxqso2A0gOKSz1GIZzL3vI00ADzNWf9IhMC' +
  'BS7qsYsWkoaWrIEe1dDGNbRJDW2qK0cyxIHr8Y3KmmGnkIZ8KkYU6lMxol31NuoMz1NO01HmqE9kSaX0uSJj9Yf7EuXmY6m/ROnzBX9J2UtfKLObE3xE' +
  'Y73LLB1rPI0/XuEvkZm0RNaY42JeRRvTRKPdlelkBTd5HI5JFbhJHdyE4B7APZDpdAU3fRyOSRW4aR0c+xodDUWaXd7l0PIVvfQ2cnPh750Nf9NIBVKY' +
  'hm01Gy3HcwO/HZZMUel+Fo+W4igY+t+KJ8rv6SCVasKUr2XWU9+U8YFefPMYaIXGWq4IE41PgV0qxCLRQqTIFPbIGYJnaMKxZU3QtbQik5UiE5o8QRH2' +
  'zGecFEzUOpwuc4YOnBCsw4OFDtOVDlOa/gcdfuJMKnU4XeYMHTiL0AvWs8hDOUGgamq6ptbV9BEcgM0fE9DUOoEFeqUJlOgbTQANql8Us++KhrAqddwa' +
  'Gsuvy1KnHQqL+ny56K9VPjSFAEUVN4tlryNdy2PmiDXH2qXjXw==';

/** The compiled products with inputs of 4 and 8 bits. */
export const mixedWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
