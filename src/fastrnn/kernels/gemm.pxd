"""The only door to BLAS: SciPy's, for row-major arrays."""
from scipy.linalg.cython_blas cimport dgemm, sgemm

ctypedef int blas_int       # SciPy's own type in the interface of every release up to now

ctypedef fused real:
    float
    double


cdef inline void gemm(bint transpose_a, bint transpose_b, int M, int N, int K,
                      const real *A, int lda, const real *B, int ldb,
                      bint accumulate, real *C, int ldc) noexcept nogil:
    """C (M, N) = op(A) op(B), plus C where `accumulate`; op(A) is (M, K), op(B) is (K, N).

    A row-major matrix is its transpose in BLAS's column-major eyes, so we ask for
    C^T = op(B)^T op(A)^T. BLAS writes to C alone, though its interface does not say so.
    """
    cdef char trans_a = b'T' if transpose_a else b'N'
    cdef char trans_b = b'T' if transpose_b else b'N'
    cdef blas_int m = M, n = N, k = K, row_a = lda, row_b = ldb, row_c = ldc
    cdef real alpha = 1, beta = 1 if accumulate else 0
    if real is float:
        sgemm(&trans_b, &trans_a, &n, &m, &k, &alpha, <real *> B, &row_b, <real *> A, &row_a,
              &beta, C, &row_c)
    else:
        dgemm(&trans_b, &trans_a, &n, &m, &k, &alpha, <real *> B, &row_b, <real *> A, &row_a,
              &beta, C, &row_c)


# The same under the one signature that the C bodies call (fastrnn_gemm in csrc/fastrnn.h).

cdef inline void gemm_float(int ta, int tb, int M, int N, int K, const void *A, int lda,
                            const void *B, int ldb, int accumulate, void *C,
                            int ldc) noexcept nogil:
    gemm(ta, tb, M, N, K, <const float *> A, lda, <const float *> B, ldb, accumulate,
         <float *> C, ldc)


cdef inline void gemm_double(int ta, int tb, int M, int N, int K, const void *A, int lda,
                             const void *B, int ldb, int accumulate, void *C,
                             int ldc) noexcept nogil:
    gemm(ta, tb, M, N, K, <const double *> A, lda, <const double *> B, ldb, accumulate,
         <double *> C, ldc)
