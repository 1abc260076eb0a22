"""The only door to BLAS: SciPy's, for row-major arrays."""
from scipy.linalg.cython_blas cimport dgemm, sgemm

ctypedef int blas_int       # SciPy's own type in the interface of every release up to now

ctypedef fused real:
    float
    double


cdef inline void gemm(bint transpose_a, bint transpose_b, int M, int N, int K, const void *A,
                      int lda, const void *B, int ldb, bint accumulate, void *C, int ldc,
                      real alpha) noexcept nogil:
    """C (M, N) = op(A) op(B), plus C where `accumulate`; op(A) is (M, K), op(B) is (K, N).

    BLAS reads a row-major matrix as its transpose, so we ask for C^T = op(B)^T op(A)^T. It writes
    to C alone, though its interface does not say so. alpha is 1.
    """
    cdef char trans_a = b'T' if transpose_a else b'N'
    cdef char trans_b = b'T' if transpose_b else b'N'
    cdef blas_int m = M, n = N, k = K, row_a = lda, row_b = ldb, row_c = ldc
    cdef real beta = 1 if accumulate else 0
    if real is float:
        sgemm(&trans_b, &trans_a, &n, &m, &k, &alpha, <real *> B, &row_b, <real *> A, &row_a,
              &beta, <real *> C, &row_c)
    else:
        dgemm(&trans_b, &trans_a, &n, &m, &k, &alpha, <real *> B, &row_b, <real *> A, &row_a,
              &beta, <real *> C, &row_c)


cdef inline void gemm_float(int ta, int tb, int M, int N, int K, const void *A, int lda,
                            const void *B, int ldb, int plus, void *C, int ldc) noexcept nogil:
    gemm(ta, tb, M, N, K, A, lda, B, ldb, plus, C, ldc, <float> 1)


cdef inline void gemm_double(int ta, int tb, int M, int N, int K, const void *A, int lda,
                             const void *B, int ldb, int plus, void *C, int ldc) noexcept nogil:
    gemm(ta, tb, M, N, K, A, lda, B, ldb, plus, C, ldc, <double> 1)
